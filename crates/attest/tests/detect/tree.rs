//! A machine that is a text: what it has, line by line.
//!
//! ```text
//!  # for people
//!  file     /path  what it says, with \n and \t
//!  folder   /path
//!  device   /path
//!  reports  name of the driver that makes them, or an error
//!  error    /path  EACCES
//!  env      NAME
//!  nv       index in hex  attributes in hex  content in hex, where `xx*n` repeats a byte
//!  --
//!  what is found, as it is shown
//! ```
//!
//! Words are separated by spaces. Folders above what is there are there too.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::Mutex;

use propeller_attest::detect::{Kind, Machine, SevGuestAnswer, TPM};

const REPORTS: &str = "/sys/kernel/config/tsm/report";

#[derive(Debug, Clone)]
enum Thing {
    File(Vec<u8>),
    Folder,
    Device,
    Error(i32),
}

/// A machine in memory.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    things: BTreeMap<String, Thing>,
    variables: BTreeSet<String>,
    /// Who makes reports, or which error there is instead.
    reports: Option<Result<String, i32>>,
    /// Requests for reports under way.
    requests: Mutex<BTreeSet<String>>,
    /// What was looked at.
    pub(crate) touched: Mutex<BTreeSet<String>>,
    indices: BTreeMap<u32, (u32, Vec<u8>)>,
    /// How often the TPM was asked.
    pub(crate) commands: Mutex<usize>,
}

fn error(name: &str) -> i32 {
    match name {
        "EPERM" => 1,
        "EIO" => 5,
        "ENXIO" => 6,
        "EACCES" => 13,
        "EROFS" => 30,
        other => panic!("{other} is no error of a tree's"),
    }
}

fn hex(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for word in text.split(' ') {
        let (hex, times) = word.split_once('*').unwrap_or((word, "1"));
        let piece = data_encoding::HEXLOWER.decode(hex.as_bytes()).unwrap();
        bytes.extend(piece.repeat(times.parse().unwrap()));
    }
    bytes
}

impl Tree {
    pub(crate) fn parse(text: &str) -> Self {
        let mut tree = Self::default();
        for line in text.lines() {
            if !line.is_empty() && !line.starts_with('#') {
                tree.line(line);
            }
        }
        tree
    }

    fn line(&mut self, line: &str) {
        let (word, rest) = line.split_once(' ').unwrap();
        let rest = rest.trim_start();
        let (name, more) = rest.split_once(' ').unwrap_or((rest, ""));
        let more = more.trim_start();
        let thing = match word {
            "file" => {
                let content = more.replace("\\n", "\n").replace("\\t", "\t");
                Thing::File(content.into_bytes())
            }
            "folder" => Thing::Folder,
            "device" => Thing::Device,
            "error" => Thing::Error(error(more)),
            "env" => {
                self.variables.insert(name.to_owned());
                return;
            }
            "reports" => {
                self.reports = Some(match name.starts_with('E') {
                    true => Err(error(name)),
                    false => Ok(name.to_owned()),
                });
                self.things.insert(REPORTS.to_owned(), Thing::Folder);
                return;
            }
            "nv" => {
                let (attributes, content) = more.split_once(' ').unwrap();
                let number = |hex| u32::from_str_radix(hex, 16).unwrap();
                let content = hex(content.trim_start());
                let index = (number(attributes), content);
                self.indices.insert(number(name), index);
                return;
            }
            other => panic!("`{other}` is nothing that a tree has"),
        };
        self.things.insert(name.to_owned(), thing);
    }

    /// Whether every request was taken back.
    pub(crate) fn is_clean(&self) -> bool {
        self.requests.lock().unwrap().is_empty()
    }

    fn thing(&self, path: &str) -> io::Result<Thing> {
        self.touched.lock().unwrap().insert(path.to_owned());
        let above = |folder: &str| {
            path.strip_prefix(folder)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut within = self.things.iter().filter(|(known, _)| above(known));
        let denied = within.find_map(|(_, thing)| match thing {
            Thing::Error(code) => Some(*code),
            _ => None,
        });
        if let Some(code) = denied {
            return Err(io::Error::from_raw_os_error(code));
        }
        let below = format!("{path}/");
        match self.things.get(path) {
            Some(thing) => Ok(thing.clone()),
            None if self.things.keys().any(|known| known.starts_with(&below)) => Ok(Thing::Folder),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn answer(tag: u16, code: u32, rest: &[u8]) -> Vec<u8> {
        let size = u32::try_from(10 + rest.len()).unwrap();
        [
            &tag.to_be_bytes()[..],
            &size.to_be_bytes(),
            &code.to_be_bytes(),
            rest,
        ]
        .concat()
    }
}

impl Machine for Tree {
    fn sev_guest(&self, _: &[u8; 64], _: u32) -> io::Result<SevGuestAnswer> {
        panic!("looking asks for no report");
    }

    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let request = path.strip_suffix("/provider");
        if let Some(request) = request
            && self.requests.lock().unwrap().contains(request)
        {
            let Some(Ok(driver)) = &self.reports else {
                return Err(ErrorKind::NotFound.into());
            };
            return Ok(format!("{driver}\n").into_bytes());
        }
        match self.thing(path)? {
            Thing::File(content) if content.len() > bytes_max => {
                Err(ErrorKind::FileTooLarge.into())
            }
            Thing::File(content) => Ok(content),
            _ => Err(ErrorKind::IsADirectory.into()),
        }
    }

    fn write(&self, path: &str, _: &[u8]) -> io::Result<()> {
        panic!("looking writes nothing, and not to {path}");
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        let above = path.rsplit_once('/').unwrap().0;
        assert_eq!(above, REPORTS, "looking makes no other folder");
        self.thing(above)?;
        match &self.reports {
            Some(Ok(_)) => {
                assert!(self.requests.lock().unwrap().insert(path.to_owned()));
                Ok(())
            }
            Some(Err(code)) => Err(io::Error::from_raw_os_error(*code)),
            None => Err(ErrorKind::PermissionDenied.into()),
        }
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        assert!(self.requests.lock().unwrap().remove(path), "{path}");
        Ok(())
    }

    fn kind(&self, path: &str) -> io::Result<Kind> {
        Ok(match self.thing(path)? {
            Thing::Device => Kind::Device,
            Thing::Folder => Kind::Folder,
            Thing::File(_) | Thing::Error(_) => Kind::Other,
        })
    }

    fn has_variable(&self, name: &str) -> bool {
        self.variables.contains(name)
    }

    /// As a TPM does that has these indices and the empty password of an owner.
    fn tpm(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        match self.thing(TPM)? {
            Thing::Device => {}
            _ => return Err(ErrorKind::NotFound.into()),
        }
        *self.commands.lock().unwrap() += 1;
        let u32_at = |at| u32::from_be_bytes(command[at..at + 4].try_into().unwrap());
        let u16_at = |at| u16::from_be_bytes(command[at..at + 2].try_into().unwrap());
        assert_eq!(u32_at(2), u32::try_from(command.len()).unwrap());
        let index = match u32_at(6) {
            0x169 => u32_at(10),
            0x14e => u32_at(14),
            other => panic!("{other:x} is no command for looking"),
        };
        let Some((attributes, content)) = self.indices.get(&index) else {
            return Ok(Self::answer(0x8001, 0x18b, &[]));
        };
        if u32_at(6) == 0x169 {
            let length = u16::try_from(content.len()).unwrap();
            let public = [
                &index.to_be_bytes()[..],
                &0x000b_u16.to_be_bytes(),
                &attributes.to_be_bytes(),
                &[0, 0],
                &length.to_be_bytes(),
            ]
            .concat();
            let name = [&[0, 34, 0, 11][..], &[7; 32]].concat();
            let rest = [&[0, 14][..], &public, &name].concat();
            return Ok(Self::answer(0x8001, 0, &rest));
        }
        let (size, offset) = (u16_at(31), usize::from(u16_at(33)));
        assert!(size <= 1024);
        let piece = &content[offset..offset + usize::from(size)];
        let piece = [&size.to_be_bytes()[..], piece].concat();
        let length = u32::try_from(piece.len()).unwrap();
        let rest = [&length.to_be_bytes()[..], &piece, &[0, 0, 1, 0, 0]].concat();
        Ok(Self::answer(0x8002, 0, &rest))
    }
}
