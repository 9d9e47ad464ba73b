//! Passphrases: from a file, a file descriptor, or somebody at a terminal.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;

use clap::Args;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::failure::Failure;
use super::handed;
use super::key_text::open_secret;

/// The longest passphrase, in bytes.
const LEN_MAX: u64 = 4096;
const TOO_LONG: &str = "it is too long for a passphrase";
const TERMINAL: &str = "/dev/tty";
const CTRL_C: u8 = 0x03;
const CTRL_D: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const DELETE: u8 = 0x7f;

/// Where a passphrase comes from.
#[derive(Debug, Args)]
#[command(next_help_heading = "Passphrase")]
pub struct PassphraseArgs {
    /// File with the passphrase, for nobody but its owner to read; its last line break is not part
    /// of it
    #[arg(long, value_name = "FILE", conflicts_with = "passphrase_fd")]
    passphrase_file: Option<PathBuf>,
    /// File descriptor to read it from; without either, you are asked
    #[arg(long, value_name = "N")]
    passphrase_fd: Option<u32>,
}

impl PassphraseArgs {
    /// The passphrase; of somebody who is asked, `twice` if a slip would lock them out.
    pub(crate) fn read(&self, twice: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let (path, read) = match (&self.passphrase_file, self.passphrase_fd) {
            (Some(path), _) => (path.clone(), read_file(open_secret(path)?)),
            (None, Some(number)) => {
                let read = handed::open(number).and_then(read_file);
                (handed::path(number), read)
            }
            (None, None) => return ask(twice),
        };
        read.map_err(|source| Failure::Read { path, source })
    }
}

fn read_file(file: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = room();
    file.take(LEN_MAX + 1).read_to_end(&mut bytes)?;
    without_line_break(bytes)
}

/// Of its final size from the beginning, so that growing leaves no copies behind.
fn room() -> Zeroizing<Vec<u8>> {
    Zeroizing::new(Vec::with_capacity(
        usize::try_from(LEN_MAX + 1).unwrap_or_default(),
    ))
}

fn without_line_break(mut bytes: Zeroizing<Vec<u8>>) -> io::Result<Zeroizing<Vec<u8>>> {
    if bytes.len() as u64 > LEN_MAX {
        return Err(io::Error::other(TOO_LONG));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    Ok(bytes)
}

fn ask(twice: bool) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let first = prompt("Passphrase: ").map_err(Failure::NoTerminal)?;
    if twice && *first != *prompt("The same again: ").map_err(Failure::NoTerminal)? {
        return Err(Failure::Passphrases);
    }
    Ok(first)
}

/// Asks on the terminal itself, whatever standard input and output are.
fn prompt(question: &str) -> io::Result<Zeroizing<Vec<u8>>> {
    let terminal = File::options().read(true).write(true).open(TERMINAL)?;
    let silent = Silent::new(&terminal)?;
    (&terminal).write_all(question.as_bytes())?;
    let line = read_line(&terminal);
    drop(silent);
    (&terminal).write_all(b"\n")?;
    line
}

/// Reads keys until Enter, one at a time, so that nothing of the next line is taken.
fn read_line(mut keys: impl io::Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut line = room();
    loop {
        let mut key = [0];
        keys.read_exact(&mut key)?;
        match key[0] {
            b'\n' | b'\r' => return Ok(line),
            CTRL_C | CTRL_D => return Err(io::Error::other("nothing was given")),
            BACKSPACE | DELETE => {
                // A character, which may have several bytes.
                while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            byte => line.push(byte),
        }
        if line.len() as u64 > LEN_MAX {
            return Err(io::Error::other(TOO_LONG));
        }
    }
}

/// A terminal that shows nothing of what is typed, until this is dropped.
struct Silent<'t> {
    terminal: &'t File,
    before: Termios,
}

impl<'t> Silent<'t> {
    fn new(terminal: &'t File) -> io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut silent = before.clone();
        // Also Ctrl-C arrives as a key: whoever presses it here gets the terminal back as it was.
        let modes = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        silent.local_modes.remove(modes);
        tcsetattr(terminal, OptionalActions::Flush, &silent)?;
        Ok(Self { terminal, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        // A terminal that is gone shows nothing anyway.
        tcsetattr(self.terminal, OptionalActions::Now, &self.before).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_make_a_line() {
        let read = |keys: &[u8]| read_line(keys).ok().map(|line| line.to_vec());
        assert_eq!(read(b"secret\nrest"), Some(b"secret".to_vec()));
        assert_eq!(
            read("caf\u{e9}\u{7f}e\r".as_bytes()),
            Some(b"cafe".to_vec())
        );
        assert_eq!(read(b"\x7fa\n"), Some(b"a".to_vec()));
        assert_eq!(read(b"half\x03"), None);
        assert_eq!(read(b"no end"), None);
        assert_eq!(read(&[b'x'; 5000]), None);
    }

    #[test]
    fn a_files_last_line_break_is_not_part_of_it() {
        let check = |text: &str, expected: &str| {
            let bytes = Zeroizing::new(text.as_bytes().to_vec());
            assert_eq!(*without_line_break(bytes).unwrap(), expected.as_bytes());
        };
        check("secret\n", "secret");
        check("secret\r\n", "secret");
        check(" two\nlines \n\n", " two\nlines \n");
        check("", "");
    }
}
