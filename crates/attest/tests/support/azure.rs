//! A virtual machine of Azure's: a TPM of software, and a metadata service on this machine.

use std::collections::BTreeMap;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use propeller_attest::detect::{Host, Kind, Machine, SevGuestAnswer};
use serde_json::Value;

use crate::soft_tpm::{OWNER_READS, OWNER_WRITES, SoftTpm};

/// What was asked for: the first line, whether it has the header that IMDS demands, and its body.
pub(crate) type Asked = (String, bool, String);

/// Serves answers by path, until the process ends.
#[derive(Debug, Clone)]
pub(crate) struct Metadata {
    address: SocketAddr,
    answers: Arc<Mutex<BTreeMap<String, (u16, String)>>>,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Metadata {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self {
            address: listener.local_addr().unwrap(),
            answers: Arc::default(),
            asked: Arc::default(),
        };
        let serving = service.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Who goes away in the middle of it is no affair of the next one's.
                serving.serve(stream.unwrap()).ok();
            }
        });
        service
    }

    pub(crate) fn answers(&self, path: &str, status: u16, body: impl Into<String>) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(path.to_owned(), (status, body.into()));
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    pub(crate) fn host(&self) -> Host {
        Host::new().with_metadata_at(format!("http://{}", self.address))
    }

    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream);
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim_end() {
                "" => break,
                line => head.push(line.to_ascii_lowercase()),
            }
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length = length.map_or(0, |length| length.parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let first = head.first().cloned().unwrap_or_default();
        let demanded = head.iter().any(|line| line == "metadata: true");
        let body = String::from_utf8(body).unwrap();
        self.asked
            .lock()
            .unwrap()
            .push((first.clone(), demanded, body));
        let path = first.split(' ').nth(1).unwrap_or_default().to_owned();
        let answers = self.answers.lock().unwrap();
        let found = answers
            .iter()
            .find(|(known, _)| known.to_ascii_lowercase() == path);
        let (status, body) = found.map_or((404, String::new()), |(_, answer)| answer.clone());
        let head = format!(
            "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
            body.len()
        );
        let mut stream = reader.into_inner();
        stream.write_all(head.as_bytes())?;
        stream.write_all(body.as_bytes())
    }
}

/// The machine.
#[derive(Debug)]
pub(crate) struct Azure {
    pub(crate) tpm: SoftTpm,
    /// Of the TPM's key.
    pub(crate) modulus: Vec<u8>,
    pub(crate) metadata: Metadata,
    host: Host,
    /// What happens in it between a quote and what comes after it.
    pub(crate) measured_meanwhile: Mutex<u32>,
}

impl Azure {
    /// `None` where there is no swtpm.
    pub(crate) fn start() -> Option<Self> {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let tpm = SoftTpm::start()?;
        let modulus = tpm.make_key();
        let metadata = Metadata::start();
        Some(Self {
            tpm,
            modulus,
            host: metadata.host(),
            metadata,
            measured_meanwhile: Mutex::default(),
        })
    }

    /// Leaves a report in the TPM, as the paravisor does.
    pub(crate) fn report(&self, report: &[u8]) {
        self.tpm
            .define_for(OWNER_WRITES | OWNER_READS, report.len());
        self.tpm.write(report);
    }
}

impl Machine for Azure {
    fn read(&self, path: &str, _: usize) -> io::Result<Vec<u8>> {
        panic!("who makes evidence on Azure does not read {path}");
    }

    fn write(&self, path: &str, _: &[u8]) -> io::Result<()> {
        panic!("who makes evidence on Azure does not write to {path}");
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        panic!("who makes evidence on Azure does not make {path}");
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        panic!("who makes evidence on Azure does not remove {path}");
    }

    fn kind(&self, path: &str) -> io::Result<Kind> {
        panic!("who makes evidence on Azure does not look at {path}");
    }

    fn has_variable(&self, name: &str) -> bool {
        panic!("who makes evidence on Azure does not look at {name}");
    }

    fn tpm(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        let answer = self.tpm.ask(command);
        let mut left = self.measured_meanwhile.lock().unwrap();
        if command[6..10] == [0, 0, 1, 0x58] && *left > 0 {
            *left -= 1;
            self.tpm.extend(23, &[9; 32]);
        }
        answer
    }

    fn sev_guest(&self, _: &[u8; 64], _: u32) -> io::Result<SevGuestAnswer> {
        panic!("a guest of Azure's does not see the firmware");
    }

    fn metadata(&self, path: &str, json: Option<&Value>) -> io::Result<Value> {
        self.host.metadata(path, json)
    }
}
