//! A real TPM, in software, to which our commands go as bytes: swtpm, of Debian's package of that name.

use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use propeller_attest::Tee;
use propeller_attest::detect::{Detected, Kind, Machine, Outcome, SevGuestAnswer, detect};
use tempfile::TempDir;

use crate::tree::Tree;

const AZURE: &str = "\
file /sys/class/dmi/id/sys_vendor Microsoft Corporation
file /sys/class/dmi/id/chassis_asset_tag 7783-7084-3265-9085-8269-3286-77
device /dev/tpmrm0
";

const INDEX: u32 = 0x0140_0001;
/// The longest that swtpm's indices can be.
const REPORT_BYTES: u16 = 2048;

const OWNER_WRITES: u32 = 1 << 1;
const PLATFORM_READS: u32 = 1 << 16;
const OWNER_READS: u32 = 1 << 17;
const INDEX_READS: u32 = 1 << 18;
const NO_LOCKOUT: u32 = 1 << 25;

/// Until it is dropped.
#[derive(Debug)]
struct SoftTpm {
    process: Child,
    stream: Mutex<UnixStream>,
    _folder: TempDir,
}

/// An Azure machine with such a TPM.
#[derive(Debug)]
struct Azure {
    tree: Tree,
    tpm: SoftTpm,
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
    fn start() -> Option<Self> {
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

    fn ask(&self, command: &[u8]) -> io::Result<Vec<u8>> {
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
    fn owner(&self, code: u32, more_handles: &[u8], parameters: &[u8]) {
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
    }

    /// `TPM2_NV_DefineSpace`
    fn define(&self, attributes: u32) {
        let public = [
            &INDEX.to_be_bytes()[..],
            &0x000b_u16.to_be_bytes(),
            &attributes.to_be_bytes(),
            &[0, 0],
            &REPORT_BYTES.to_be_bytes(),
        ]
        .concat();
        let parameters = [&[0, 0, 0, 14][..], &public].concat();
        self.owner(0x12a, &[], &parameters);
    }

    /// `TPM2_NV_Write`, in pieces.
    fn write(&self, content: &[u8]) {
        for (at, piece) in content.chunks(1024).enumerate() {
            let size = u16::try_from(piece.len()).unwrap();
            let offset = u16::try_from(at * 1024).unwrap();
            let parameters = [&size.to_be_bytes()[..], piece, &offset.to_be_bytes()].concat();
            self.owner(0x137, &INDEX.to_be_bytes(), &parameters);
        }
    }

    /// `TPM2_NV_UndefineSpace`
    fn undefine(&self) {
        self.owner(0x122, &INDEX.to_be_bytes(), &[]);
    }
}

impl Drop for SoftTpm {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

impl Machine for Azure {
    fn sev_guest(&self, data: &[u8; 64], level: u32) -> io::Result<SevGuestAnswer> {
        self.tree.sev_guest(data, level)
    }

    fn read(&self, path: &str, bytes_max: usize) -> io::Result<Vec<u8>> {
        self.tree.read(path, bytes_max)
    }

    fn write(&self, path: &str, content: &[u8]) -> io::Result<()> {
        self.tree.write(path, content)
    }

    fn create_folder(&self, path: &str) -> io::Result<()> {
        self.tree.create_folder(path)
    }

    fn remove_folder(&self, path: &str) -> io::Result<()> {
        self.tree.remove_folder(path)
    }

    fn kind(&self, path: &str) -> io::Result<Kind> {
        self.tree.kind(path)
    }

    fn has_variable(&self, name: &str) -> bool {
        self.tree.has_variable(name)
    }

    fn tpm(&self, command: &[u8]) -> io::Result<Vec<u8>> {
        self.tpm.ask(command)
    }
}

/// A report of a paravisor's, of a kind.
fn report(kind: u32) -> Vec<u8> {
    let mut report = vec![0x5a; REPORT_BYTES.into()];
    report[..4].copy_from_slice(b"HCLA");
    report[1224..1228].copy_from_slice(&kind.to_le_bytes());
    report
}

fn says(found: &Detected) -> (Option<Tee>, Outcome, &str) {
    let probe = &found.looked[0];
    (found.tee, probe.outcome, &probe.says)
}

#[test]
fn a_report_is_read_from_a_tpm() {
    let Some(tpm) = SoftTpm::start() else {
        return;
    };
    let azure = Azure {
        tree: Tree::parse(AZURE),
        tpm,
    };
    let no_report = (None, Outcome::Absent, "no report of a paravisor");
    assert_eq!(says(&detect(&azure)), no_report, "no index");

    azure.tpm.define(OWNER_WRITES | OWNER_READS);
    assert_eq!(says(&detect(&azure)), no_report, "never written");
    for (kind, tee) in [(2, Tee::AzSnpVtpm), (4, Tee::AzTdxVtpm)] {
        azure.tpm.write(&report(kind));
        assert_eq!(detect(&azure).tee, Some(tee));
    }
    azure.tpm.write(&[0]);
    let foreign = "something else than a report of a paravisor";
    assert_eq!(says(&detect(&azure)), (None, Outcome::Absent, foreign));
    azure.tpm.undefine();

    azure.tpm.define(OWNER_WRITES | INDEX_READS | NO_LOCKOUT);
    azure.tpm.write(&report(2));
    assert_eq!(detect(&azure).tee, Some(Tee::AzSnpVtpm), "by its password");
    azure.tpm.undefine();

    let locked = "the TPM lets nobody read the index without a password";
    for readers in [PLATFORM_READS, INDEX_READS] {
        azure.tpm.define(OWNER_WRITES | readers);
        azure.tpm.write(&report(2));
        assert_eq!(says(&detect(&azure)), (None, Outcome::Blocked, locked));
        azure.tpm.undefine();
    }
}
