//! A report of a paravisor's in a real TPM.

use std::io;

use propeller_attest::Tee;
use propeller_attest::detect::{Detected, Kind, Machine, Outcome, SevGuestAnswer, detect};

use crate::soft_tpm::{OWNER_READS, OWNER_WRITES, REPORT_BYTES, SoftTpm};
use crate::tree::Tree;

const AZURE: &str = "\
file /sys/class/dmi/id/sys_vendor Microsoft Corporation
file /sys/class/dmi/id/chassis_asset_tag 7783-7084-3265-9085-8269-3286-77
device /dev/tpmrm0
";

const PLATFORM_READS: u32 = 1 << 16;
const INDEX_READS: u32 = 1 << 18;
const NO_LOCKOUT: u32 = 1 << 25;

/// An Azure machine with such a TPM.
#[derive(Debug)]
struct Azure {
    tree: Tree,
    tpm: SoftTpm,
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
