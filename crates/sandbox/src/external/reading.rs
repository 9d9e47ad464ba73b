//! What became of a guest, read from what its runtime printed and how it ended.
//!
//! Runtimes print for people, so this is only as good as their words. What a guest can forge is
//! its own end: it can look as if it had trapped, or as if its runtime had failed.

use super::attend::Outcome;
use super::catalog::{Dialect, On};
use super::lines::{frames, guest_len, line, reason, results_at, trapped, value};
use super::plan::{Call, Manner, number};
use super::printed::{Printed, find_last};
use super::talk::{self, FUEL, WARNING_AFTER, WASMTIME};
use super::template::Slot;
use crate::exit::{Exit, Limit, LimitHit, Status, Usage};
use crate::job::Job;
use crate::numbers;
use crate::process::wire::End;
use crate::runtime::RunError;
use serde::Deserialize;

/// What our script answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Answer {
    Exited(i64),
    Returned(Vec<String>),
    Trapped(String),
    /// The guest had no stack left.
    Stack,
    Refused(String),
}

/// How a job ended.
pub(super) fn read(
    manner: &Manner,
    call: &Call,
    job: &Job,
    outcome: Outcome,
) -> Result<Exit, RunError> {
    let mut reading = Reading {
        manner,
        call,
        job,
        usage: Usage {
            wall_us: u64::try_from(outcome.wall.as_micros()).unwrap_or(u64::MAX),
            ..Usage::default()
        },
        stdout: outcome.stdout,
        stderr: outcome.stderr,
        result: None,
    };
    if let Some(reason) = outcome.failed {
        return Err(reading.said(&format!("did not start: {reason}")));
    }
    if let Some(ended) = outcome.ended {
        reading.usage.cpu_us = ended.cpu_us;
        reading.usage.memory_peak_bytes = ended.resident_kib.saturating_mul(1024);
    }
    let status = if outcome.late {
        reading.hit(Limit::WallClock)
    } else if reading.stdout.over {
        reading.hit(Limit::Stdout)
    } else if reading.stderr.over {
        reading.hit(Limit::Stderr)
    } else {
        match outcome.ended.map(|ended| ended.end) {
            None => return Err(RunError::Lost),
            Some(End::Killed(signal)) => return Err(reading.killed(signal)),
            Some(End::Exited(code)) => reading.exited(code, &outcome.reply)?,
        }
    };
    Ok(reading.exit(status))
}

struct Reading<'a> {
    manner: &'a Manner,
    call: &'a Call,
    job: &'a Job,
    stdout: Printed,
    stderr: Printed,
    result: Option<String>,
    usage: Usage,
}

impl Reading<'_> {
    fn exit(mut self, mut status: Status) -> Exit {
        let limits = &self.job.limits;
        let result = self.result.take();
        let fits = |len: usize, max: u64| len as u64 <= max;
        if result
            .as_ref()
            .is_some_and(|text| !fits(text.len(), limits.result_bytes.value))
        {
            status = self.hit(Limit::Result);
        }
        for (printed, limit) in [
            (&mut self.stdout, Limit::Stdout),
            (&mut self.stderr, Limit::Stderr),
        ] {
            if !printed.finish() && !matches!(status, Status::LimitHit(_)) {
                status = Status::LimitHit(LimitHit::new(limit, limits));
            }
        }
        let result = result.filter(|_| status == Status::Returned);
        let told = result.as_ref().map_or(0, String::len) as u64;
        let Self { stdout, stderr, .. } = &self;
        Exit {
            result,
            stdout: stdout.kept(),
            stderr: stderr.kept(),
            usage: Usage {
                input_bytes: self.job.input_bytes(),
                output_bytes: stdout.told() + stderr.told() + told,
                ..self.usage
            },
            ..Exit::from(status)
        }
    }

    /// The end of a runtime that ended by itself.
    fn exited(&mut self, code: i32, reply: &[u8]) -> Result<Status, RunError> {
        match self.manner.known.dialect {
            Dialect::Wasmtime => self.wasmtime(code),
            Dialect::Wasmi => self.wasmi(code),
            Dialect::Script => self.script(code, reply),
            Dialect::Complaint { on, begins, trap } => self.complaint(code, on, begins, trap),
            Dialect::Plain => Ok(self.ended_well_or(code)),
        }
    }

    fn wasmtime(&mut self, code: i32) -> Result<Status, RunError> {
        let returned = self.strip_warning();
        if code == 0 {
            let status = self.ended_well_or(code);
            let left = !returned && self.result.is_none() && !self.call.results.is_empty();
            return Ok(if left { Status::Exited(code) } else { status });
        }
        let text = String::from_utf8_lossy(self.stderr.rest()).into_owned();
        let Some(at) = text.rfind(WASMTIME) else {
            let first = self.first_words();
            return if code == 1 && first.starts_with("Error: ") {
                Err(self.said(&format!("cannot run it: {}", line(&first))))
            } else {
                Ok(Status::Exited(code))
            };
        };
        let complaint = text[at..].to_owned();
        let grown = complaint.contains("forcing trap when growing");
        let Some(trap) = reason(&complaint).or_else(|| grown.then(String::new)) else {
            return Err(self.said(&format!("cannot run it: {}", line(&complaint))));
        };
        self.stderr
            .split_off(guest_len(self.stderr.rest(), WASMTIME));
        Ok(if grown {
            self.hit(Limit::Memory)
        } else if trap.contains("all fuel consumed") && self.manner.template.has(Slot::Fuel) {
            self.usage.fuel = self.job.limits.fuel.value;
            self.hit(Limit::Fuel)
        } else if trap.contains("call stack exhausted") && self.manner.template.has(Slot::Stack) {
            self.hit(Limit::Stack)
        } else {
            trapped(&trap, frames(&complaint))
        })
    }

    /// Takes the last warning out; says whether the function has returned, if it has results.
    fn strip_warning(&mut self) -> bool {
        let after = WARNING_AFTER.as_bytes();
        let returned = !self.call.command
            && !self.call.results.is_empty()
            && self.stderr.rest().ends_with(after);
        if returned {
            self.stderr
                .split_off(self.stderr.rest().len() - after.len());
        }
        returned
    }

    fn wasmi(&mut self, code: i32) -> Result<Status, RunError> {
        let text = String::from_utf8_lossy(self.stderr.rest()).into_owned();
        let begins = talk::wasmi(&self.call.function);
        if code == 1
            && let Some(at) = text.rfind(&begins)
        {
            self.stderr
                .split_off(guest_len(self.stderr.rest(), &begins));
            let trap = text[at + begins.len()..].trim();
            if trap.starts_with("all fuel consumed") && self.manner.template.has(Slot::Fuel) {
                self.usage.fuel = self.job.limits.fuel.value;
                return Ok(self.hit(Limit::Fuel));
            }
            return Ok(trapped(&format!("wasm trap: {trap}"), Vec::new()));
        }
        let first = self.first_words();
        if code == 1 && first.starts_with("Error: failed to ") {
            return Err(self.said(&format!("cannot run it: {}", line(&first))));
        }
        // The results stand behind the fuel, and everything before it is the guest's.
        let results = self.fuel().unwrap_or_default();
        if code != 0 || self.call.command {
            return Ok(Status::Exited(code));
        }
        self.result = self.results(&results);
        Ok(Status::Returned)
    }

    /// Takes the line about fuel and what follows it out of the output.
    fn fuel(&mut self) -> Option<Vec<u8>> {
        if !self.manner.template.has(Slot::Fuel) {
            let at = results_at(self.stdout.rest(), self.call.results.len())?;
            return Some(self.stdout.split_off(at));
        }
        let at = find_last(self.stdout.rest(), FUEL.as_bytes())?;
        let told = self.stdout.split_off(at);
        let end = told.iter().position(|byte| *byte == b'\n')? + 1;
        let consumed = String::from_utf8_lossy(&told[FUEL.len()..end]).into_owned();
        let consumed = consumed
            .split(',')
            .next()
            .and_then(|text| text.parse().ok());
        let consumed: u64 = consumed.unwrap_or_default();
        self.usage.fuel = consumed.min(self.job.limits.fuel.value);
        Some(told[end..].to_vec())
    }

    fn script(&mut self, code: i32, reply: &[u8]) -> Result<Status, RunError> {
        let Ok(answer) = serde_json::from_slice::<Answer>(reply) else {
            let said = self.first_words();
            return Err(self.said(&format!("ended with exit code {code}: {}", line(&said))));
        };
        Ok(match answer {
            Answer::Exited(code) => Status::Exited(i32::try_from(code).unwrap_or(i32::MAX)),
            Answer::Returned(bits) => {
                let values = bits.iter().zip(&self.call.results);
                let values = values.filter_map(|(bits, ty)| value(*ty, bits.parse().ok()?));
                self.result = numbers::render(values);
                Status::Returned
            }
            Answer::Trapped(told) => {
                let mut lines = told.lines().map(str::to_owned);
                let reason = lines.next().unwrap_or_default();
                trapped(&format!("wasm trap: {reason}"), lines.collect())
            }
            Answer::Stack => self.hit(Limit::Stack),
            Answer::Refused(reason) => {
                return Err(self.said(&format!("cannot run it: {}", line(&reason))));
            }
        })
    }

    fn complaint(
        &mut self,
        code: i32,
        on: On,
        begins: &str,
        trap: &str,
    ) -> Result<Status, RunError> {
        let stream = match on {
            On::Stdout => &mut self.stdout,
            On::Stderr => &mut self.stderr,
        };
        let text = String::from_utf8_lossy(stream.rest()).into_owned();
        let (1, Some(at)) = (code, text.rfind(begins)) else {
            return Ok(self.ended_well_or(code));
        };
        let complaint = &text[at..];
        let Some(at) = complaint.find(trap) else {
            return Err(self.said(&format!("cannot run it: {}", line(complaint))));
        };
        stream.split_off(guest_len(stream.rest(), begins));
        let reason = complaint[at + trap.len()..].lines().next();
        let reason = format!("wasm trap: {}", reason.unwrap_or_default());
        Ok(trapped(&reason, Vec::new()))
    }

    /// The end of a guest that nobody complains about.
    fn ended_well_or(&mut self, code: i32) -> Status {
        if code != 0 || self.call.command {
            return Status::Exited(code);
        }
        let count = self.call.results.len();
        let places = [
            self.stdout.last_writes(count),
            results_at(self.stdout.rest(), count),
        ];
        for at in places.into_iter().flatten() {
            self.result = self.results(&self.stdout.rest()[at..]);
            if self.result.is_some() {
                self.stdout.split_off(at);
                break;
            }
        }
        Status::Returned
    }

    /// Results as text, one on each line; `None` if they are none.
    fn results(&self, lines: &[u8]) -> Option<String> {
        let text = std::str::from_utf8(lines).ok()?;
        let types = &self.call.results;
        if text.lines().count() != types.len() {
            return None;
        }
        let values = text.lines().zip(types).map(|(line, ty)| {
            // Payloads of NaNs have no text form.
            let nan = line.trim_start_matches('-').starts_with("nan");
            number(*ty)?.parse(if nan { "NaN" } else { line })
        });
        numbers::render(values.collect::<Option<Vec<_>>>()?)
    }

    fn killed(&self, signal: i32) -> RunError {
        let said = self.first_words();
        let why = match signal {
            libc::SIGXFSZ => " (it tried to write a file)",
            libc::SIGKILL => " (not by us: the machine may be out of memory)",
            _ => "",
        };
        self.said(&format!(
            "was ended by signal {signal}{why}: {}",
            line(&said)
        ))
    }

    /// What was printed first to standard error, for a message about a runtime that failed.
    fn first_words(&self) -> String {
        String::from_utf8_lossy(&self.stderr.head).into_owned()
    }

    fn said(&self, what: &str) -> RunError {
        RunError::External {
            runtime: self.manner.called.clone(),
            what: what.to_owned(),
        }
    }

    fn hit(&self, limit: Limit) -> Status {
        Status::LimitHit(LimitHit::new(limit, &self.job.limits))
    }
}
