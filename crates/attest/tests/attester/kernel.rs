//! A kernel that makes reports as its script says, and that keeps count of what is asked of it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, ErrorKind};
use std::sync::{Arc, Mutex};

use propeller_attest::detect::{Kind, Machine, SevGuestAnswer};

pub(crate) const REPORTS: &str = "/sys/kernel/config/tsm/report";

pub(crate) const EPERM: i32 = 1;
pub(crate) const ENOENT: i32 = 2;
pub(crate) const EIO: i32 = 5;
pub(crate) const ENXIO: i32 = 6;
pub(crate) const EAGAIN: i32 = 11;
pub(crate) const EACCES: i32 = 13;
pub(crate) const EBUSY: i32 = 16;
pub(crate) const EEXIST: i32 = 17;
pub(crate) const EINVAL: i32 = 22;
pub(crate) const EROFS: i32 = 30;

/// What happens to one request.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// A report of it.
    Report,
    /// Making its folder fails.
    NotMade(i32),
    /// Reading one of its files fails.
    Unread(&'static str, i32),
    /// Writing one of its files fails.
    Unwritten(&'static str, i32),
    /// Somebody else writes to it, once it has what we wrote.
    Raced,
    /// A report about somebody else's data.
    Foreign,
    /// Its report is these bytes.
    Bytes(Vec<u8>),
    /// Somebody else removes it, once it has what we wrote.
    Vanishes,
}

#[derive(Debug, Default)]
struct Request {
    fate: Option<Fate>,
    inblob: Option<Vec<u8>>,
    generation: u64,
    gone: bool,
}

/// An answer, or the kernel's error.
type Device = fn(&[u8; 64]) -> Result<SevGuestAnswer, i32>;

/// A kernel with one driver.
#[derive(Debug)]
pub(crate) struct Kernel {
    driver: &'static str,
    has_privlevel: bool,
    make: fn(&[u8]) -> Vec<u8>,
    auxblob: Option<Vec<u8>>,
    /// What answers behind `/dev/sev-guest`.
    device: Option<Device>,
    /// Of one request after another; the last one stays.
    fates: Mutex<Vec<Fate>>,
    requests: Mutex<BTreeMap<String, Request>>,
    names: Mutex<BTreeSet<String>>,
    files: BTreeMap<&'static str, Result<Vec<u8>, i32>>,
    writes: Mutex<Vec<(String, Vec<u8>)>>,
    tpm_error: Option<i32>,
}

impl Kernel {
    pub(crate) fn new(driver: &'static str, make: fn(&[u8]) -> Vec<u8>) -> Self {
        Self {
            driver,
            has_privlevel: driver == "sev_guest",
            make,
            auxblob: None,
            device: None,
            fates: Mutex::new(vec![Fate::Report]),
            requests: Mutex::default(),
            names: Mutex::default(),
            files: BTreeMap::new(),
            writes: Mutex::default(),
            tpm_error: None,
        }
    }

    /// Whoever asks the TPM gets this.
    pub(crate) fn with_tpm_error(self, code: i32) -> Self {
        Self {
            tpm_error: Some(code),
            ..self
        }
    }

    /// An older one, with a device and without configfs.
    pub(crate) fn with_device(mut self, device: Device) -> Self {
        self.device = Some(device);
        self.with_fates(&[Fate::NotMade(ENOENT)])
    }

    pub(crate) fn with_auxblob(self, auxblob: &[u8]) -> Self {
        Self {
            auxblob: Some(auxblob.to_vec()),
            ..self
        }
    }

    /// What happens to the first request, the second, and all after the last that is named.
    pub(crate) fn with_fates(self, fates: &[Fate]) -> Self {
        let mut fates = fates.to_vec();
        fates.reverse();
        Self {
            fates: Mutex::new(fates),
            ..self
        }
    }

    pub(crate) fn with_file(mut self, path: &'static str, content: &[u8]) -> Self {
        self.files.insert(path, Ok(content.to_vec()));
        self
    }

    pub(crate) fn with_error(mut self, path: &'static str, code: i32) -> Self {
        self.files.insert(path, Err(code));
        self
    }

    pub(crate) fn shared(self) -> Arc<Self> {
        Arc::new(self)
    }

    /// How many requests there were, after looking that none is left and that no name was used
    /// twice or could be guessed.
    pub(crate) fn requests(&self) -> usize {
        assert_eq!(self.requests.lock().unwrap().len(), 0, "requests are left");
        let names = self.names.lock().unwrap();
        for name in names.iter() {
            let random = name.strip_prefix("propeller-").unwrap();
            assert_eq!(random.len(), 32, "{name}");
        }
        names.len()
    }

    /// What was written, by file.
    pub(crate) fn writes(&self) -> Vec<(String, Vec<u8>)> {
        self.writes.lock().unwrap().clone()
    }

    fn next_fate(&self) -> Fate {
        let mut fates = self.fates.lock().unwrap();
        match fates.len() {
            1 => fates[0].clone(),
            _ => fates.pop().unwrap(),
        }
    }

    fn read_of(&self, request: &mut Request, file: &str) -> io::Result<Vec<u8>> {
        let fate = request.fate.clone().unwrap();
        if let Fate::Unread(of, code) = fate
            && of == file
        {
            return Err(io::Error::from_raw_os_error(code));
        }
        if request.gone {
            return Err(ErrorKind::NotFound.into());
        }
        match file {
            "provider" => Ok(format!("{}\n", self.driver).into_bytes()),
            "generation" => {
                let generation = request.generation + u64::from(matches!(fate, Fate::Raced));
                Ok(format!("{generation}\n").into_bytes())
            }
            "outblob" => {
                let inblob = request.inblob.as_ref();
                let inblob = inblob.ok_or_else(|| io::Error::from(ErrorKind::InvalidInput))?;
                Ok(match fate {
                    Fate::Bytes(bytes) => bytes,
                    Fate::Foreign => (self.make)(&[0xee; 64]),
                    _ => (self.make)(inblob),
                })
            }
            "auxblob" => self
                .auxblob
                .clone()
                .ok_or_else(|| ErrorKind::NotFound.into()),
            other => panic!("a request has no {other}"),
        }
    }

    fn write_to(&self, request: &mut Request, file: &str, content: &[u8]) -> io::Result<()> {
        let fate = request.fate.clone().unwrap();
        if let Fate::Unwritten(of, code) = fate
            && of == file
        {
            return Err(io::Error::from_raw_os_error(code));
        }
        match file {
            "privlevel" if self.has_privlevel => {
                // `kstrtouint`: text, not a byte.
                let level = str::from_utf8(content).ok().map(str::parse::<u32>);
                assert_eq!(level, Some(Ok(0)), "{content:?}");
            }
            "inblob" => {
                assert_eq!(content.len(), 64, "drivers take 64 bytes");
                request.inblob = Some(content.to_vec());
                request.gone = matches!(fate, Fate::Vanishes);
            }
            other => panic!("{} takes no {other}", self.driver),
        }
        request.generation += 1;
        Ok(())
    }
}

fn split(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix(REPORTS)?.strip_prefix('/')?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

impl Machine for Kernel {
    fn sev_guest(&self, data: &[u8; 64], level: u32) -> io::Result<SevGuestAnswer> {
        assert_eq!(level, 0);
        match self.device {
            Some(answer) => answer(data).map_err(io::Error::from_raw_os_error),
            None => Err(ErrorKind::NotFound.into()),
        }
    }

    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        let content = match split(path) {
            Some((name, file)) => {
                let mut requests = self.requests.lock().unwrap();
                self.read_of(requests.get_mut(name).unwrap(), file)
            }
            None => match self.files.get(path) {
                Some(Ok(content)) => Ok(content.clone()),
                Some(Err(code)) => Err(io::Error::from_raw_os_error(*code)),
                // Gramine's: a quote about what was written last.
                None if path == "/dev/attestation/quote" => {
                    let data = self.writes().pop().unwrap().1;
                    match self.next_fate() {
                        Fate::Report => Ok((self.make)(&data)),
                        Fate::Foreign => Ok((self.make)(&[0xee; 64])),
                        Fate::Bytes(bytes) => Ok(bytes),
                        Fate::Unread("quote", code) => Err(io::Error::from_raw_os_error(code)),
                        other => panic!("{other:?} is nothing that happens to quotes"),
                    }
                }
                None => Err(ErrorKind::NotFound.into()),
            },
        }?;
        match content.len() > bytes_max {
            true => Err(ErrorKind::FileTooLarge.into()),
            false => Ok(content),
        }
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        if let Some((name, file)) = split(path) {
            let mut requests = self.requests.lock().unwrap();
            self.write_to(requests.get_mut(name).unwrap(), file, content)?;
        }
        let file = path.rsplit_once('/').unwrap().1.to_owned();
        self.writes.lock().unwrap().push((file, content.to_vec()));
        Ok(())
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        let (name, "") = split(path).unwrap() else {
            panic!("{path} is no place for a request");
        };
        let fate = self.next_fate();
        assert!(self.names.lock().unwrap().insert(name.to_owned()));
        if let Fate::NotMade(code) = fate {
            return Err(io::Error::from_raw_os_error(code));
        }
        let request = Request {
            fate: Some(fate),
            ..Request::default()
        };
        self.requests
            .lock()
            .unwrap()
            .insert(name.to_owned(), request);
        Ok(())
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        let (name, _) = split(path).unwrap();
        let removed = self.requests.lock().unwrap().remove(name);
        match removed {
            Some(request) if !request.gone => Ok(()),
            _ => Err(ErrorKind::NotFound.into()),
        }
    }

    fn kind(&self, path: &str) -> io::Result<Kind> {
        panic!("who makes evidence does not look at {path}");
    }

    fn has_variable(&self, name: &str) -> bool {
        panic!("who makes evidence does not look at {name}");
    }

    fn tpm(&self, _: &[u8]) -> io::Result<Vec<u8>> {
        let code = self.tpm_error.expect("who makes this evidence asks no TPM");
        Err(io::Error::from_raw_os_error(code))
    }
}
