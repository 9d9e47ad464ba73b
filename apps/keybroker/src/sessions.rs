//! Handshakes under way, by their cookie: bounded in number, in bytes and in time.
//!
//! ```text
//!  auth ─▶ Challenged ──attest (right nonce)──▶ gone, while the evidence is judged
//!                                               ├─ accepted ─▶ Attested: the token, again and again
//!                                               └─ refused  ─▶ nothing: a nonce is for one try
//! ```

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use aws_lc_rs::rand;
use data_encoding::{BASE64, HEXLOWER};
use propeller_attest::Tee;

/// How long a cookie is good for, as Trustee's.
pub(crate) const LIFE: Duration = Duration::from_secs(300);
/// Most handshakes at a time; the oldest goes for a new one. An honest one takes milliseconds.
pub(crate) const SESSIONS_MAX: usize = 4096;
/// Most bytes of tokens that are kept for whoever asks for his again.
const TOKEN_BYTES_MAX: usize = 32 << 20;
const COOKIE_BYTES: usize = 16;
const NONCE_BYTES: usize = 32;

/// There is no randomness.
#[derive(Debug, thiserror::Error)]
#[error("the system's random number generator failed")]
pub(crate) struct NoRandomness;

#[derive(Debug)]
enum State {
    Challenged { tee: Tee, nonce: String },
    Attested { token: String },
}

#[derive(Debug)]
struct Session {
    state: State,
    until: Instant,
}

/// All handshakes.
#[derive(Debug, Default)]
pub(crate) struct Sessions {
    by_cookie: HashMap<String, Session>,
    /// Cookies in the order in which they end, which is that in which they began.
    order: VecDeque<(Instant, String)>,
    token_bytes: usize,
}

/// A cookie, and when it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cookie {
    pub(crate) value: String,
    pub(crate) until: Instant,
}

/// What whoever shows a cookie may do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// He is attested already: his token, once more.
    Attested(String, Cookie),
    /// His evidence is to be of this kind and about the nonce that he named. There is no second try.
    Judge(Tee, Ticket),
}

/// The right to end a handshake well.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ticket(Cookie);

/// Why a cookie is of no use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NoSession {
    #[error(
        "no session has this cookie, or it is over, or its nonce has been used: begin with auth"
    )]
    Unknown,
    #[error("the nonce is not the one of this session")]
    Nonce,
}

impl Sessions {
    /// Begins one: its cookie, and its nonce.
    pub(crate) fn begin(
        &mut self,
        tee: Tee,
        now: Instant,
    ) -> Result<(Cookie, String), NoRandomness> {
        let mut random = [0; COOKIE_BYTES + NONCE_BYTES];
        rand::fill(&mut random).map_err(|_| NoRandomness)?;
        let (cookie, nonce) = random.split_at(COOKIE_BYTES);
        let (value, nonce) = (HEXLOWER.encode(cookie), BASE64.encode(nonce));
        let until = now + LIFE;
        self.make_room(now, 0);
        let state = State::Challenged {
            tee,
            nonce: nonce.clone(),
        };
        self.by_cookie
            .insert(value.clone(), Session { state, until });
        self.order.push_back((until, value.clone()));
        Ok((Cookie { value, until }, nonce))
    }

    /// What may be done with a cookie by somebody who names `nonce`.
    pub(crate) fn attempt(
        &mut self,
        cookie: &str,
        nonce: &str,
        now: Instant,
    ) -> Result<Attempt, NoSession> {
        let session = self.by_cookie.get(cookie);
        let session = session.filter(|session| now < session.until);
        let Session { state, until } = session.ok_or(NoSession::Unknown)?;
        let own = Cookie {
            value: cookie.to_owned(),
            until: *until,
        };
        match state {
            State::Attested { token } => Ok(Attempt::Attested(token.clone(), own)),
            State::Challenged { nonce: right, .. } if right != nonce => Err(NoSession::Nonce),
            State::Challenged { tee, .. } => {
                let tee = *tee;
                self.by_cookie.remove(cookie);
                Ok(Attempt::Judge(tee, Ticket(own)))
            }
        }
    }

    /// Remembers the token of a handshake that ended well. Gives the cookie back.
    pub(crate) fn attested(&mut self, ticket: Ticket, token: String, now: Instant) -> Cookie {
        let Ticket(cookie) = ticket;
        let Cookie { value, until } = cookie.clone();
        self.make_room(now, token.len());
        self.token_bytes += token.len();
        let state = State::Attested { token };
        self.by_cookie
            .insert(value.clone(), Session { state, until });
        // Its place in the order may be gone, and a second one does no harm.
        self.order.push_back((until, value));
        cookie
    }

    /// The token of whoever has this cookie and is attested.
    pub(crate) fn token(&self, cookie: &str, now: Instant) -> Option<&str> {
        let session = self.by_cookie.get(cookie)?;
        match &session.state {
            State::Attested { token } if now < session.until => Some(token),
            _ => None,
        }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_cookie.len()
    }

    fn make_room(&mut self, now: Instant, token_bytes: usize) {
        while let Some((until, cookie)) = self.order.front() {
            let crowded = self.order.len() >= SESSIONS_MAX
                || self.token_bytes + token_bytes > TOKEN_BYTES_MAX;
            if now < *until && !crowded {
                return;
            }
            let gone = self.by_cookie.remove(cookie).map(|session| session.state);
            if let Some(State::Attested { token }) = gone {
                self.token_bytes = self.token_bytes.saturating_sub(token.len());
            }
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(sessions: &mut Sessions, now: Instant) -> (String, String) {
        let (cookie, nonce) = sessions.begin(Tee::Sample, now).unwrap();
        (cookie.value, nonce)
    }

    #[test]
    fn a_nonce_is_for_one_try_and_a_token_for_as_long_as_the_session() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (cookie, nonce) = begun(&mut sessions, now);
        assert_eq!(cookie.len(), 32);
        assert_eq!(nonce.len(), 44);
        assert_eq!(
            sessions.attempt(&cookie, "another", now),
            Err(NoSession::Nonce)
        );
        assert_eq!(sessions.token(&cookie, now), None);
        let Ok(Attempt::Judge(Tee::Sample, ticket)) = sessions.attempt(&cookie, &nonce, now) else {
            panic!("it is the right nonce");
        };
        // While it is judged, and after it was refused, the nonce is worth nothing.
        assert_eq!(
            sessions.attempt(&cookie, &nonce, now),
            Err(NoSession::Unknown)
        );
        let own = sessions.attested(ticket, "token".into(), now);
        assert_eq!(own.value, cookie);
        for _ in 0..2 {
            let again = sessions.attempt(&cookie, "whatever", now);
            assert_eq!(again, Ok(Attempt::Attested("token".into(), own.clone())));
        }
        assert_eq!(sessions.token(&cookie, now + LIFE / 2), Some("token"));
        assert_eq!(sessions.token(&cookie, now + LIFE), None);
        assert_eq!(
            sessions.attempt(&cookie, &nonce, now + LIFE),
            Err(NoSession::Unknown)
        );
    }

    #[test]
    fn there_are_never_too_many_and_the_oldest_goes_first() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let (oldest, nonce) = begun(&mut sessions, now);
        for _ in 0..2 * SESSIONS_MAX {
            begun(&mut sessions, now);
        }
        assert!(sessions.len() <= SESSIONS_MAX);
        assert_eq!(
            sessions.attempt(&oldest, &nonce, now),
            Err(NoSession::Unknown)
        );
        begun(&mut sessions, now + LIFE);
        assert_eq!(sessions.len(), 1);
    }

    #[test]
    fn long_tokens_make_room_for_each_other() {
        let (mut sessions, now) = (Sessions::default(), Instant::now());
        let token = "x".repeat(TOKEN_BYTES_MAX / 4);
        for _ in 0..20 {
            let (cookie, nonce) = begun(&mut sessions, now);
            match sessions.attempt(&cookie, &nonce, now) {
                Ok(Attempt::Judge(_, ticket)) => sessions.attested(ticket, token.clone(), now),
                other => panic!("{other:?}"),
            };
        }
        let tokens = sessions.by_cookie.values();
        let bytes = tokens.map(|session| match &session.state {
            State::Attested { token } => token.len(),
            State::Challenged { .. } => 0,
        });
        assert_eq!(bytes.sum::<usize>(), sessions.token_bytes);
        assert!(sessions.token_bytes <= TOKEN_BYTES_MAX);
    }
}
