//! `/dev/sev-guest`: reports of AMD SEV-SNP from kernels before 6.7, which have no other way
//! (`linux/sev-guest.h`, `Documentation/virt/coco/sev-guest.rst`).

#![allow(
    unsafe_code,
    reason = "an ioctl has no safe form: its structures carry addresses of others"
)]

use std::fs::File;
use std::io;

use rustix::ioctl::{Opcode, Updater, ioctl, opcode};

/// The device.
pub const SEV_GUEST: &str = "/dev/sev-guest";

/// What the firmware answers: 32 bytes about the report, and the report.
pub const ANSWER_BYTES: usize = 4000;

/// The most that the kernel takes for certificates (`SEV_FW_BLOB_MAX_SIZE`); whole pages.
const CERTIFICATES_BYTES: u32 = 0x4000;

/// `SNP_GET_EXT_REPORT`.
const GET_EXTENDED_REPORT: Opcode = opcode::read_write::<GuestRequest>(b'S', 2);

/// `struct snp_report_req`.
#[repr(C)]
#[derive(Debug)]
struct ReportRequest {
    user_data: [u8; 64],
    level: u32,
    reserved: [u8; 28],
}

/// `struct snp_ext_report_req`.
#[repr(C)]
#[derive(Debug)]
struct ExtendedRequest {
    report: ReportRequest,
    certificates: u64,
    certificates_bytes: u32,
}

/// `struct snp_guest_request_ioctl`.
#[repr(C)]
#[derive(Debug)]
struct GuestRequest {
    version: u8,
    request: u64,
    answer: u64,
    /// Of the hypervisor above, of the firmware below.
    error: u64,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SevGuestAnswer {
    /// The firmware's answer, with the report in it.
    pub answer: Vec<u8>,
    /// The host's certificates, as a table; zeros where it gave none.
    pub certificates: Vec<u8>,
}

/// Asks for a report over `data`, at the privilege level `level`.
pub(super) fn report(device: &File, data: &[u8; 64], level: u32) -> io::Result<SevGuestAnswer> {
    let mut answer = vec![0_u8; ANSWER_BYTES];
    let mut certificates = vec![0_u8; CERTIFICATES_BYTES as usize];
    let mut extended = ExtendedRequest {
        report: ReportRequest {
            user_data: *data,
            level,
            reserved: [0; 28],
        },
        certificates: address(certificates.as_mut_ptr()),
        certificates_bytes: CERTIFICATES_BYTES,
    };
    let mut request = GuestRequest {
        version: 1,
        request: address(&raw mut extended),
        answer: address(answer.as_mut_ptr()),
        error: 0,
    };
    // SAFETY: the opcode is the one that goes with `GuestRequest`, which has the layout of the
    // kernel's header, as its tests say. The addresses in it are of an `ExtendedRequest`, of as many
    // bytes as the kernel writes of an answer, and of `certificates_bytes` bytes; all of them live
    // until after the call, and nobody else reads or writes them meanwhile. Another driver that
    // understands this opcode otherwise is not behind this path: the kernel makes the device.
    let asked = unsafe { ioctl(device, Updater::<GET_EXTENDED_REPORT, _>::new(&mut request)) };
    match asked {
        Ok(()) => Ok(SevGuestAnswer {
            answer,
            certificates,
        }),
        Err(error) if request.error == 0 => Err(error.into()),
        Err(error) => {
            let (host, firmware) = (request.error >> 32, request.error & 0xffff_ffff);
            let kind = io::Error::from(error).kind();
            let said =
                format!("{error} (error {host:#x} of the host, {firmware:#x} of the firmware)");
            Err(io::Error::new(kind, said))
        }
    }
}

/// An address as the kernel takes it on every architecture.
fn address<T>(pointer: *mut T) -> u64 {
    pointer.expose_provenance() as u64
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    #[test]
    fn structures_are_those_of_the_kernels_header() {
        assert_eq!(size_of::<ReportRequest>(), 96);
        assert_eq!(size_of::<ExtendedRequest>(), 112);
        assert_eq!(offset_of!(ExtendedRequest, certificates), 96);
        assert_eq!(offset_of!(ExtendedRequest, certificates_bytes), 104);
        assert_eq!(size_of::<GuestRequest>(), 32);
        assert_eq!(offset_of!(GuestRequest, request), 8);
        assert_eq!(offset_of!(GuestRequest, answer), 16);
        assert_eq!(offset_of!(GuestRequest, error), 24);
        assert_eq!(GET_EXTENDED_REPORT, 0xc020_5302);
    }

    #[test]
    fn what_is_no_such_device_says_so() {
        const ENOTTY: i32 = 25;
        let null = File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .unwrap();
        let error = report(&null, &[0; 64], 0).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(ENOTTY));
    }
}
