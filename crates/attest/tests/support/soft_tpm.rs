//! A real TPM, in software, to which our commands go as bytes: swtpm, of Debian's package of that name.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Where Azure's paravisor leaves its report, and keeps the key that signs quotes.
pub(crate) const INDEX: u32 = 0x0140_0001;
pub(crate) const KEY: u32 = 0x8100_0003;
/// `TPM_RC_RETRY` and `TPM_RC_TESTING`.
const RETRY: u32 = 0x922;
const TESTING: u32 = 0x90a;
/// The longest that swtpm's indices can be.
pub(crate) const REPORT_BYTES: u16 = 2048;

pub(crate) const OWNER_WRITES: u32 = 1 << 1;
pub(crate) const OWNER_READS: u32 = 1 << 17;

/// Until it is dropped.
#[derive(Debug)]
pub(crate) struct SoftTpm {
    process: Child,
    stream: Mutex<UnixStream>,
    _folder: TempDir,
}

fn skipped(reason: &str) {
    if let Some(path) = std::env::var_os("PROPELLER_TEST_SKIPS") {
        let name = std::thread::current().name().unwrap_or("?").to_owned();
        let mut options = std::fs::OpenOptions::new();
        let file = options.append(true).create(true).open(path);
        writeln!(file.unwrap(), "SKIPPED {name}: {reason}").unwrap();
    }
}

fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).map(|folder| folder.join("swtpm"));
    let found = folders.into_iter().find(|path| path.is_file());
    if found.is_none() {
        skipped("no `swtpm` in PATH: install it, for example with `apt-get install swtpm`");
    }
    found
}

impl SoftTpm {
    pub(crate) fn start() -> Option<Self> {
        let program = program()?;
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("tpm");
        let mut process = Command::new(program)
            .args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"])
            .arg("--tpmstate")
            .arg(format!("dir={}", folder.path().display()))
            .arg("--server")
            .arg(format!("type=unixio,path={}", socket.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let begun = Instant::now();
        let stream = loop {
            match UnixStream::connect(&socket) {
                Ok(stream) => break stream,
                Err(error) if begun.elapsed() > Duration::from_secs(30) => {
                    process.kill().unwrap();
                    panic!("swtpm does not listen: {error}");
                }
                Err(_) => std::thread::yield_now(),
            }
        };
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Some(Self {
            process,
            stream: Mutex::new(stream),
            _folder: folder,
        })
    }

    /// As the kernel's driver does, which asks again while the TPM is testing itself.
    pub(crate) fn ask(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        loop {
            let answer = self.ask_once(command)?;
            let is_testing = [RETRY, TESTING]
                .iter()
                .any(|code| answer[6..10] == code.to_be_bytes());
            if !is_testing {
                return Ok(answer);
            }
        }
    }

    fn ask_once(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        let mut stream = self.stream.lock().unwrap();
        stream.write_all(command)?;
        let mut answer = vec![0; 10];
        stream.read_exact(&mut answer)?;
        let size = u32::from_be_bytes(answer[2..6].try_into().unwrap());
        answer.resize(usize::try_from(size).unwrap(), 0);
        stream.read_exact(&mut answer[10..])?;
        Ok(answer)
    }

    /// A command of the owner's, whose password is empty.
    fn owner(&self, code: u32, more_handles: &[u8], parameters: &[u8]) -> Vec<u8> {
        let authorization = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        let rest = [
            &0x4000_0001_u32.to_be_bytes()[..],
            more_handles,
            &authorization,
            parameters,
        ]
        .concat();
        let size = u32::try_from(10 + rest.len()).unwrap();
        let command = [
            &0x8002_u16.to_be_bytes()[..],
            &size.to_be_bytes(),
            &code.to_be_bytes(),
            &rest,
        ]
        .concat();
        let answer = self.ask(&command).unwrap();
        assert_eq!(answer[6..10], [0; 4], "command {code:x}");
        answer[10..].to_vec()
    }

    /// A key that signs quotes, with RSA and SHA-256, kept at [`KEY`]: its modulus.
    ///
    /// `TPM2_CreatePrimary`, of which the key is a handle, and `TPM2_EvictControl`, which keeps it.
    pub(crate) fn make_key(&self) -> Vec<u8> {
        // Bound to this TPM and its parent, made here, used with its password, restricted, signs.
        let attributes = 0x0005_0072_u32;
        let public = [
            &[0, 0x01, 0, 0x0b][..],
            &attributes.to_be_bytes(),
            // No policy, no symmetric algorithm, RSASSA with SHA-256, 2048 bits, exponent 65537.
            &[0, 0, 0, 0x10, 0, 0x14, 0, 0x0b, 8, 0, 0, 0, 0, 0, 0, 0],
        ]
        .concat();
        let size = u16::try_from(public.len()).unwrap();
        let no_password = [0, 4, 0, 0, 0, 0];
        let neither_data_nor_registers = [0; 6];
        let parameters = [
            &no_password[..],
            &size.to_be_bytes(),
            &public,
            &neither_data_nor_registers,
        ]
        .concat();
        let made = self.owner(0x131, &[], &parameters);
        let (handle, made) = made.split_at(4);
        // The size of parameters, and the size of the public part, which ends with the modulus.
        let size = usize::from(u16::from_be_bytes([made[4], made[5]]));
        let modulus = made[6 + size - 256..6 + size].to_vec();
        self.owner(0x120, handle, &KEY.to_be_bytes());
        modulus
    }

    /// `TPM2_EvictControl` of what is kept.
    pub(crate) fn evict_key(&self) {
        let key = KEY.to_be_bytes();
        self.owner(0x120, &key, &key);
    }

    /// `TPM2_PCR_Extend`, with SHA-256.
    pub(crate) fn extend(&self, register: u32, digest: &[u8; 32]) {
        let authorization = [0, 0, 0, 9, 0x40, 0, 0, 9, 0, 0, 0, 0, 0];
        let command = [
            &[0x80, 2, 0, 0, 0, 65, 0, 0, 1, 0x82][..],
            &register.to_be_bytes(),
            &authorization,
            &[0, 0, 0, 1, 0, 0x0b],
            digest,
        ]
        .concat();
        let answer = self.ask(&command).unwrap();
        assert_eq!(answer[6..10], [0; 4]);
    }

    /// `TPM2_NV_DefineSpace`
    pub(crate) fn define(&self, attributes: u32) {
        self.define_for(attributes, REPORT_BYTES.into());
    }

    pub(crate) fn define_for(&self, attributes: u32, bytes: usize) {
        let bytes = u16::try_from(bytes).unwrap();
        let public = [
            &INDEX.to_be_bytes()[..],
            &0x000b_u16.to_be_bytes(),
            &attributes.to_be_bytes(),
            &[0, 0],
            &bytes.to_be_bytes(),
        ]
        .concat();
        let parameters = [&[0, 0, 0, 14][..], &public].concat();
        self.owner(0x12a, &[], &parameters);
    }

    /// `TPM2_NV_Write`, in pieces.
    pub(crate) fn write(&self, content: &[u8]) {
        for (at, piece) in content.chunks(1024).enumerate() {
            let size = u16::try_from(piece.len()).unwrap();
            let offset = u16::try_from(at * 1024).unwrap();
            let parameters = [&size.to_be_bytes()[..], piece, &offset.to_be_bytes()].concat();
            self.owner(0x137, &INDEX.to_be_bytes(), &parameters);
        }
    }

    /// `TPM2_NV_UndefineSpace`
    pub(crate) fn undefine(&self) {
        self.owner(0x122, &INDEX.to_be_bytes(), &[]);
    }
}

impl Drop for SoftTpm {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}
