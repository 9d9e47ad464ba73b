//! The JSON form of a report, as the crate `sev` writes it.

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::Value;

use super::{
    HALF_BYTES, Layout, Product, REPORT_BYTES, SnpReport, SnpReportError, SnpTcb, SnpVersion,
    VERSIONS, at,
};

/// An array of numbers.
#[derive(Clone, Copy)]
struct Bytes<const N: usize>([u8; N]);

impl<const N: usize> Serialize for Bytes<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_slice().serialize(serializer)
    }
}

impl<'de, const N: usize> Deserialize<'de> for Bytes<N> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let bytes = Vec::<u8>::deserialize(deserializer)?;
        let length = bytes.len();
        let expected = format!("an array of {N} bytes");
        <[u8; N]>::try_from(bytes)
            .map(Self)
            .map_err(|_| de::Error::invalid_length(length, &expected.as_str()))
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Signature {
    r: Bytes<HALF_BYTES>,
    s: Bytes<HALF_BYTES>,
}

/// Members by the names that `sev` gives them.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    guest_svn: u32,
    policy: u64,
    family_id: Bytes<16>,
    image_id: Bytes<16>,
    vmpl: u32,
    sig_algo: u32,
    current_tcb: SnpTcb,
    plat_info: u64,
    key_info: u32,
    report_data: Bytes<64>,
    measurement: Bytes<48>,
    host_data: Bytes<32>,
    id_key_digest: Bytes<48>,
    author_key_digest: Bytes<48>,
    report_id: Bytes<32>,
    report_id_ma: Bytes<32>,
    reported_tcb: SnpTcb,
    cpuid_fam_id: Option<u8>,
    cpuid_mod_id: Option<u8>,
    cpuid_step: Option<u8>,
    chip_id: Bytes<64>,
    committed_tcb: SnpTcb,
    current: SnpVersion,
    committed: SnpVersion,
    launch_tcb: SnpTcb,
    launch_mit_vector: Option<u64>,
    current_mit_vector: Option<u64>,
    signature: Signature,
}

pub(super) fn write(report: &SnpReport) -> Value {
    let bytes16 = |at| Bytes(report.array::<16>(at));
    let bytes32 = |at| Bytes(report.array::<32>(at));
    let bytes48 = |at| Bytes(report.array::<48>(at));
    let version = |at| {
        let [build, minor, major] = report.array(at);
        SnpVersion {
            major,
            minor,
            build,
        }
    };
    let cpuid = report.cpuid();
    let mitigations = report.mitigations();
    let (r, s) = report.signature();
    let form = Form {
        version: report.version(),
        guest_svn: report.guest_svn(),
        policy: report.policy().0,
        family_id: bytes16(at::FAMILY_ID),
        image_id: bytes16(at::IMAGE_ID),
        vmpl: report.vmpl(),
        sig_algo: report.signature_algorithm(),
        current_tcb: report.current_tcb(),
        plat_info: report.platform_info(),
        key_info: report.key_info().0,
        report_data: Bytes(report.report_data()),
        measurement: Bytes(report.measurement()),
        host_data: Bytes(report.host_data()),
        id_key_digest: bytes48(at::ID_KEY_DIGEST),
        author_key_digest: bytes48(at::AUTHOR_KEY_DIGEST),
        report_id: bytes32(at::REPORT_ID),
        report_id_ma: bytes32(at::REPORT_ID_MA),
        reported_tcb: report.reported_tcb(),
        cpuid_fam_id: cpuid.map(|[family, _, _]| family),
        cpuid_mod_id: cpuid.map(|[_, model, _]| model),
        cpuid_step: cpuid.map(|[_, _, stepping]| stepping),
        chip_id: Bytes(report.chip_id()),
        committed_tcb: report.committed_tcb(),
        current: version(at::CURRENT),
        committed: version(at::COMMITTED),
        launch_tcb: report.launch_tcb(),
        launch_mit_vector: mitigations.map(|(launch, _)| launch),
        current_mit_vector: mitigations.map(|(_, current)| current),
        signature: Signature {
            r: Bytes(r),
            s: Bytes(s),
        },
    };
    serde_json::to_value(form).expect("numbers, and arrays of them, are JSON")
}

pub(super) fn read(value: &Value) -> Result<SnpReport, SnpReportError> {
    let form = Form::deserialize(value).map_err(SnpReportError::Json)?;
    let bytes = form.bytes()?;
    // Whatever else a report must be is checked where bytes are read.
    SnpReport::from_bytes(&bytes)
}

impl Form {
    fn bytes(&self) -> Result<[u8; REPORT_BYTES], SnpReportError> {
        if !VERSIONS.contains(&self.version) {
            return Err(SnpReportError::Version {
                version: self.version,
            });
        }
        let layout = self.layout()?;
        let mut out = Writer([0; REPORT_BYTES]);
        out.put(at::VERSION, &self.version.to_le_bytes());
        out.put(at::GUEST_SVN, &self.guest_svn.to_le_bytes());
        out.put(at::POLICY, &self.policy.to_le_bytes());
        out.put(at::FAMILY_ID, &self.family_id.0);
        out.put(at::IMAGE_ID, &self.image_id.0);
        out.put(at::VMPL, &self.vmpl.to_le_bytes());
        out.put(at::SIGNATURE_ALGORITHM, &self.sig_algo.to_le_bytes());
        out.put(at::PLATFORM_INFO, &self.plat_info.to_le_bytes());
        out.put(at::KEY_INFO, &self.key_info.to_le_bytes());
        out.put(at::REPORT_DATA, &self.report_data.0);
        out.put(at::MEASUREMENT, &self.measurement.0);
        out.put(at::HOST_DATA, &self.host_data.0);
        out.put(at::ID_KEY_DIGEST, &self.id_key_digest.0);
        out.put(at::AUTHOR_KEY_DIGEST, &self.author_key_digest.0);
        out.put(at::REPORT_ID, &self.report_id.0);
        out.put(at::REPORT_ID_MA, &self.report_id_ma.0);
        out.put(at::CHIP_ID, &self.chip_id.0);
        for (
            at,
            SnpVersion {
                major,
                minor,
                build,
            },
        ) in [(at::CURRENT, self.current), (at::COMMITTED, self.committed)]
        {
            out.put(at, &[build, minor, major]);
        }
        for (at, member, tcb) in [
            (at::CURRENT_TCB, "current_tcb", self.current_tcb),
            (at::REPORTED_TCB, "reported_tcb", self.reported_tcb),
            (at::COMMITTED_TCB, "committed_tcb", self.committed_tcb),
            (at::LAUNCH_TCB, "launch_tcb", self.launch_tcb),
        ] {
            out.put(at, &layout.write(tcb).ok_or_else(|| self.unfit(member))?);
        }
        if let Some(cpuid) = self.cpuid()? {
            out.put(at::CPUID, &cpuid);
        }
        for (at, vector) in [
            (at::LAUNCH_MITIGATIONS, self.launch_mitigations()?),
            (at::CURRENT_MITIGATIONS, self.current_mitigations()?),
        ] {
            if let Some(vector) = vector {
                out.put(at, &vector.to_le_bytes());
            }
        }
        out.put(at::SIGNATURE, &self.signature.r.0);
        out.put(at::SIGNATURE + HALF_BYTES, &self.signature.s.0);
        Ok(out.0)
    }

    fn layout(&self) -> Result<Layout, SnpReportError> {
        match self.cpuid()? {
            Some([family, model, _]) => Product::of(family, model)
                .map(Product::layout)
                .ok_or(SnpReportError::Processor { family, model }),
            None => Layout::of_chip(&self.chip_id.0).ok_or(SnpReportError::ChipMasked),
        }
    }

    fn cpuid(&self) -> Result<Option<[u8; 3]>, SnpReportError> {
        let family = self.since(3, "cpuid_fam_id", self.cpuid_fam_id)?;
        let model = self.since(3, "cpuid_mod_id", self.cpuid_mod_id)?;
        let stepping = self.since(3, "cpuid_step", self.cpuid_step)?;
        Ok(family
            .zip(model)
            .zip(stepping)
            .map(|((family, model), stepping)| [family, model, stepping]))
    }

    fn launch_mitigations(&self) -> Result<Option<u64>, SnpReportError> {
        self.since(5, "launch_mit_vector", self.launch_mit_vector)
    }

    fn current_mitigations(&self) -> Result<Option<u64>, SnpReportError> {
        self.since(5, "current_mit_vector", self.current_mit_vector)
    }

    /// A member that is there from `first` on, and null before.
    fn since<T>(
        &self,
        first: u32,
        member: &'static str,
        value: Option<T>,
    ) -> Result<Option<T>, SnpReportError> {
        if value.is_some() == (self.version >= first) {
            Ok(value)
        } else {
            Err(self.unfit(member))
        }
    }

    fn unfit(&self, member: &'static str) -> SnpReportError {
        SnpReportError::Member {
            member,
            version: self.version,
        }
    }
}

struct Writer([u8; REPORT_BYTES]);

impl Writer {
    fn put(&mut self, at: usize, field: &[u8]) {
        self.0[at..at + field.len()].copy_from_slice(field);
    }
}
