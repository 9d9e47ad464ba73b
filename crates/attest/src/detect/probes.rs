//! What is looked at, and what it means.

use std::io::{self, ErrorKind};

use super::entry::{Entry, REPORTS};
use super::machine::{Kind, Machine, TPM};
use super::{Outcome, Probe};
use crate::Tee;
use crate::hcl::{self, Report};
use crate::tpm::{TpmError, nv};

const VENDOR: &str = "/sys/class/dmi/id/sys_vendor";
const ASSET_TAG: &str = "/sys/class/dmi/id/chassis_asset_tag";
/// What Hyper-V calls itself, and what all machines of Azure's have for an asset tag.
const MICROSOFT: &str = "Microsoft Corporation";
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";

const AZURE_TPM: &str = "index 0x01400001 of the TPM";
const CONFIGFS: &str = "/sys/kernel/config";
const MOUNTS: &str = "/proc/self/mounts";
const GRAMINE: &str = "/dev/attestation/attestation_type";
const OCCLUM: &str = "OCCLUM";

/// Lines such as a vendor's name are short, and lists of mounts are not.
const LINE_BYTES_MAX: usize = 256;
const MOUNTS_BYTES_MAX: usize = 1 << 20;

/// `ENXIO`: configfs has the folder, and no driver answers for it.
const NO_SUCH_DEVICE: i32 = 6;

type Found = (Outcome, String);

/// All of them. Azure's comes first, because nothing else tells what its guests are.
pub(super) fn all(machine: &dyn Machine) -> Vec<Probe> {
    let probe = |place, (outcome, says)| Probe {
        place,
        outcome,
        says,
    };
    let device = |place, tee| probe(place, expect(machine.kind(place), Kind::Device, tee));
    let folder = |place, tee| probe(place, expect(machine.kind(place), Kind::Folder, tee));
    vec![
        probe(AZURE_TPM, azure(machine)),
        probe(REPORTS, configfs(machine)),
        device("/dev/tdx_guest", Tee::Tdx),
        device("/dev/sev-guest", Tee::Snp),
        // What the kernel of a guest has before a driver for it is loaded.
        folder("/sys/devices/platform/sev-guest", Tee::Snp),
        folder("/sys/devices/platform/arm-cca-dev", Tee::Cca),
        probe(GRAMINE, gramine(machine)),
        probe("environment variable OCCLUM", occlum(machine)),
    ]
}

/// A report that Azure's paravisor left in the TPM. Elsewhere, that index may be anybody's.
fn azure(machine: &dyn Machine) -> Found {
    let skipped = |says: String| (Outcome::Skipped, format!("not on Azure, {says}"));
    for (place, expected) in [(VENDOR, MICROSOFT), (ASSET_TAG, AZURE)] {
        match machine.read(place, LINE_BYTES_MAX) {
            Ok(line) if self::line(&line) == expected => {}
            Ok(line) => return skipped(format!("{place} is `{}`", self::line(&line))),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return skipped(format!("there is no {place}"));
            }
            Err(error) => return blocked(&error),
        }
    }
    let head = match nv::index(machine, hcl::INDEX, hcl::HEAD_BYTES) {
        Ok(Some(head)) => head,
        Ok(None) => return absent("no report of a paravisor"),
        Err(TpmError::Kernel(error)) if error.kind() == ErrorKind::NotFound => {
            return absent(format!("there is no {TPM}"));
        }
        Err(TpmError::Kernel(error)) => return blocked(&error),
        Err(error) => return (Outcome::Blocked, error.to_string()),
    };
    match hcl::report(&head) {
        Report::Of(tee) => found(tee, &format!("the paravisor's report is one of {tee}")),
        Report::Ordinary { kind } => absent(format!(
            "the paravisor's report is of kind {kind}, a machine that its host can look into"
        )),
        Report::Unknown { kind } => absent(format!(
            "the paravisor's report is of kind {kind}, which is not known here"
        )),
        Report::Foreign => absent("something else than a report of a paravisor"),
    }
}

/// Who makes reports for this kernel.
fn configfs(machine: &dyn Machine) -> Found {
    let entry = match Entry::create(machine) {
        Ok(entry) => entry,
        Err(error) if error.kind() == ErrorKind::NotFound => return absent(no_reports(machine)),
        Err(error) if error.raw_os_error() == Some(NO_SUCH_DEVICE) => {
            return absent("no driver of a TEE is loaded");
        }
        Err(error) => return blocked(&error),
    };
    match entry.provider() {
        Ok(provider) => match provider.as_str() {
            "tdx_guest" => found(Tee::Tdx, "reports come from tdx_guest"),
            "sev_guest" => found(Tee::Snp, "reports come from sev_guest"),
            "arm_cca_guest" => found(Tee::Cca, "reports come from arm_cca_guest"),
            other => absent(format!(
                "reports come from `{}`, which is not known here",
                line(other.as_bytes())
            )),
        },
        Err(error) => blocked(&error),
    }
}

/// Why there is no folder for reports.
fn no_reports(machine: &dyn Machine) -> &'static str {
    if machine.kind(CONFIGFS).is_err() {
        return "the kernel has no configfs, or this container does not show it";
    }
    let mounts = machine.read(MOUNTS, MOUNTS_BYTES_MAX).unwrap_or_default();
    match is_configfs_mounted(&String::from_utf8_lossy(&mounts)) {
        true => "the kernel makes no reports: that takes Linux 6.7 and the driver of a TEE",
        false => {
            "configfs is not mounted: run `mount -t configfs none /sys/kernel/config`, and look again"
        }
    }
}

fn is_configfs_mounted(mounts: &str) -> bool {
    mounts.lines().any(|mount| {
        let mut words = mount.split(' ').skip(1);
        words.next() == Some(CONFIGFS) && words.next() == Some("configfs")
    })
}

/// A device or a folder that only guests have.
fn expect(kind: io::Result<Kind>, expected: Kind, tee: Tee) -> Found {
    match kind {
        Ok(kind) if kind == expected => found(tee, "it is there, and only in such guests"),
        Ok(_) if expected == Kind::Device => absent("it is no device"),
        Ok(_) => absent("it is no folder"),
        Err(error) => unseen(&error),
    }
}

/// What kind of evidence Gramine makes, in an enclave.
fn gramine(machine: &dyn Machine) -> Found {
    match machine.read(GRAMINE, LINE_BYTES_MAX) {
        Ok(kind) if kind.trim_ascii() == b"dcap" => found(Tee::Sgx, "Gramine makes DCAP quotes"),
        Ok(kind) => absent(format!(
            "Gramine attests by `{}`: its manifest needs sgx.remote_attestation = \"dcap\"",
            line(&kind)
        )),
        Err(error) => unseen(&error),
    }
}

/// Occlum says so itself.
fn occlum(machine: &dyn Machine) -> Found {
    match machine.has_variable(OCCLUM) {
        true => found(Tee::Sgx, "Occlum sets it in an enclave"),
        false => absent("not set"),
    }
}

fn found(tee: Tee, says: &str) -> Found {
    (Outcome::Found { tee }, says.to_owned())
}

fn absent(says: impl Into<String>) -> Found {
    (Outcome::Absent, says.into())
}

fn unseen(error: &io::Error) -> Found {
    match error.kind() {
        ErrorKind::NotFound => absent("not there"),
        _ => blocked(error),
    }
}

fn blocked(error: &io::Error) -> Found {
    let says = match error.kind() {
        ErrorKind::PermissionDenied => "permission denied: run as root".to_owned(),
        ErrorKind::ReadOnlyFilesystem => {
            "read-only: a container needs /sys/kernel/config with write access".to_owned()
        }
        _ => format!("cannot be looked at: {error}"),
    };
    (Outcome::Blocked, says)
}

/// A line that the host may have chosen, as it can be shown to a person.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = text.trim().chars().take(64);
    shown
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
