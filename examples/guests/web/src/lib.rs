//! A service for `wasi:http/incoming-handler`. Each page shows one thing that a service can do, or
//! one way in which it can fail its host.
//!
//! What follows the first `?` is a page's argument, taken as it stands: nothing is decoded.

mod answer;
mod fetch;

use std::sync::atomic::{AtomicU32, Ordering};

use wasip2::cli::environment;
use wasip2::exports::http::incoming_handler::Guest;
use wasip2::http::types::{IncomingRequest, IncomingResponse, Method, ResponseOutparam};

use answer::{Answer, Cut, Header, Incoming};

const TEXT: Header<'static> = ("content-type", b"text/plain; charset=utf-8");

const MIB: usize = 1 << 20;

/// How many requests this instance was given.
static SERVED: AtomicU32 = AtomicU32::new(0);

struct Service;

wasip2::http::proxy::export!(Service);

impl Guest for Service {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let served = SERVED.fetch_add(1, Ordering::Relaxed) + 1;
        let target = request.path_with_query().unwrap_or_default();
        let (path, argument) = target.split_once('?').unwrap_or((&target, ""));
        match (request.method(), path) {
            (Method::Get, "/") => hello(out),
            (Method::Post, "/echo") => end(echo(request, out)),
            (Method::Get, "/count") => short(out, 200, &format!("{served}\n")),
            (Method::Get, "/fetch") => fetch_page(argument, out),
            (Method::Get, "/lines") => lines(argument, out),
            (Method::Get, "/log") => log(argument, out),
            (Method::Get, "/half") => half(out),
            (Method::Get, "/panic") => asked_to_panic(),
            (Method::Get, "/spin") => asked_to_spin(),
            (Method::Get, "/grow") => asked_to_grow(),
            (Method::Get, "/silent") => drop(out),
            (_, "/echo") => not_allowed(out, "POST"),
            (_, "/" | "/count" | "/fetch" | "/lines" | "/log") => not_allowed(out, "GET"),
            (_, "/half" | "/panic" | "/spin" | "/grow" | "/silent") => not_allowed(out, "GET"),
            _ => short(out, 404, "no such page\n"),
        }
    }
}

/// An answer that is known before its head goes out.
fn short(out: ResponseOutparam, status: u16, text: &str) {
    let mut answer = Answer::start(out, status, &[TEXT]);
    end(answer.send(text.as_bytes()).map(|()| answer));
}

fn not_allowed(out: ResponseOutparam, allowed: &str) {
    let answer = Answer::start(out, 405, &[("allow", allowed.as_bytes())]);
    answer.finish();
}

/// Ends an answer, unless something cut it off: then it is dropped, and the host ends the
/// connection in a way that the client can tell from a whole answer.
fn end(result: Result<Answer, Cut>) {
    match result {
        Ok(answer) => answer.finish(),
        Err(Cut(reason)) => eprintln!("web: the answer is cut off: {reason}"),
    }
}

/// An empty `NAME` counts as none.
fn hello(out: ResponseOutparam) {
    let environment = environment::get_environment();
    let name = environment
        .iter()
        .find(|(key, value)| key == "NAME" && !value.is_empty())
        .map_or("world", |(_, value)| value);
    short(out, 200, &format!("Hello from Propeller, {name}!\n"));
}

fn echo(request: IncomingRequest, out: ResponseOutparam) -> Result<Answer, Cut> {
    let types = request.headers().get("content-type");
    let headers: Vec<Header<'_>> = types
        .iter()
        .map(|value| ("content-type", &**value))
        .collect();
    let body = request.consume().expect("nobody took the body before");
    let mut answer = Answer::start(out, 200, &headers);
    answer.pass_on(&Incoming::new(body))?;
    Ok(answer)
}

fn fetch_page(url: &str, out: ResponseOutparam) {
    match fetch::get(url) {
        Ok(response) => end(fetched(&response, out)),
        Err(code) => short(out, 502, &format!("{code:?}\n")),
    }
}

fn fetched(response: &IncomingResponse, out: ResponseOutparam) -> Result<Answer, Cut> {
    let body = response.consume().expect("nobody took the body before");
    let mut answer = Answer::start(out, 200, &[TEXT]);
    answer.send(format!("{}\n", response.status()).as_bytes())?;
    answer.pass_on(&Incoming::new(body))?;
    Ok(answer)
}

fn lines(count: &str, out: ResponseOutparam) {
    match count.parse() {
        Ok(count) => end(counted(count, out)),
        Err(_) => short(out, 400, "how many lines? try /lines?3\n"),
    }
}

fn counted(count: u64, out: ResponseOutparam) -> Result<Answer, Cut> {
    let mut answer = Answer::start(out, 200, &[TEXT]);
    for line in 1..=count {
        answer.send(format!("line {line}\n").as_bytes())?;
    }
    Ok(answer)
}

fn log(text: &str, out: ResponseOutparam) {
    println!("{text}");
    eprintln!("logged");
    answer::empty(out, 204);
}

/// An answer whose guest is gone before its end.
fn half(out: ResponseOutparam) {
    let mut answer = Answer::start(out, 200, &[TEXT]);
    if answer.send(b"half\n").is_ok() {
        asked_to_panic();
    }
}

// The pages that end an instance are functions of their own, so that the backtrace of the trap has
// their names.

#[inline(never)]
fn asked_to_panic() -> ! {
    panic!("asked to");
}

#[inline(never)]
fn asked_to_spin() -> ! {
    loop {
        std::hint::spin_loop();
    }
}

/// The blocks are written to, so that the host has to find memory for them.
#[inline(never)]
fn asked_to_grow() -> ! {
    let mut blocks = Vec::new();
    loop {
        blocks.push(vec![1_u8; MIB]);
        std::hint::black_box(&mut blocks);
    }
}
