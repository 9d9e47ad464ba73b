//! A virtual machine of Azure's that is made here: its hardware, its paravisor, and its TPM.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use data_encoding::{BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use propeller_attest::Tee;
use propeller_attest::verify::Collateral;
use serde_json::{Value, json};

use super::chip::Chip;
use super::samples::{Case, JULY_2025};

pub(crate) const DATA: [u8; 48] = [7; 48];
pub(crate) const REPORT_DATA_AT: usize = 0x050;

/// Of the TPM.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// A machine of Azure's on a chip that is made here. Everything may be changed.
pub(crate) struct Machine {
    pub(crate) chip: Chip,
    pub(crate) runtime_data: Value,
    /// Kind of the paravisor's report, and of its hash.
    pub(crate) kind: u32,
    pub(crate) hash: u32,
    pub(crate) message: Vec<u8>,
    pub(crate) registers: Vec<[u8; 32]>,
}

fn runtime_data() -> Value {
    let key = PublicKeyComponents::<Vec<u8>>::from(KEY.public_key());
    let key = json!({
        "kid": "HCLAkPub",
        "kty": "RSA",
        "n": BASE64URL_NOPAD.encode(&key.n),
        "e": BASE64URL_NOPAD.encode(&key.e),
    });
    json!({"keys": [key], "vm-configuration": {"secure-boot": true}})
}

/// `TPMS_ATTEST` of a quote about data, with these registers.
pub(crate) fn message(data: &[u8], registers: &[[u8; 32]]) -> Vec<u8> {
    let sized = |bytes: &[u8]| {
        let size = u16::try_from(bytes.len()).unwrap();
        [&size.to_be_bytes()[..], bytes].concat()
    };
    [
        &[0xff, 0x54, 0x43, 0x47, 0x80, 0x18][..],
        &sized(b"the name of the key"),
        &sized(data),
        &[1; 25],
        &[0, 0, 0, 1, 0, 0x0b, 3, 0xff, 0xff, 0xff],
        &sized(digest(&SHA256, &registers.concat()).as_ref()),
    ]
    .concat()
}

impl Machine {
    pub(crate) fn new() -> Self {
        let registers: Vec<[u8; 32]> = (0..24).map(|number| [number; 32]).collect();
        Self {
            chip: Chip::genoa(),
            runtime_data: runtime_data(),
            kind: 2,
            hash: 1,
            message: message(&DATA, &registers),
            registers,
        }
    }

    pub(crate) fn report(&self) -> Vec<u8> {
        let json = self.runtime_data.to_string().into_bytes();
        let mut data = digest(&SHA256, &json).as_ref().to_vec();
        data.resize(64, 0);
        let hardware = self.chip.clone().with(REPORT_DATA_AT, &data).signed();
        paravisor(&hardware, self.kind, self.hash, &json)
    }

    pub(crate) fn quote(&self) -> Value {
        let mut signature = vec![0; KEY.public_modulus_len()];
        KEY.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            &self.message,
            &mut signature,
        )
        .unwrap();
        let registers = self.registers.iter().map(|one| HEXLOWER.encode(one));
        json!({
            "signature": HEXLOWER.encode(&signature),
            "message": HEXLOWER.encode(&self.message),
            "pcrs": registers.collect::<Vec<_>>(),
        })
    }

    pub(crate) fn evidence(&self) -> Value {
        json!({
            "version": 1,
            "tpm_quote": self.quote(),
            "hcl_report": BASE64URL.encode(&self.report()),
            "vcek": BASE64URL.encode(&self.chip.key()),
        })
    }

    pub(crate) fn case(&self) -> Case {
        on_snp(self.evidence())
    }
}

/// The paravisor's report around one of the hardware's.
pub(crate) fn paravisor(hardware: &[u8], kind: u32, hash: u32, json: &[u8]) -> Vec<u8> {
    let size = u32::try_from(json.len()).unwrap();
    let mut report = b"HCLA".to_vec();
    report.resize(32, 0);
    report.extend(hardware);
    report.resize(1216, 0);
    for number in [size + 20, 1, kind, hash, size] {
        report.extend(number.to_le_bytes());
    }
    report.extend(json);
    // An index of a TPM is longer than what is in it.
    report.resize(report.len() + 100, 0);
    report
}

pub(crate) fn on_snp(value: Value) -> Case {
    Case {
        tee: Tee::AzSnpVtpm,
        value,
        collateral: Collateral::None,
        anchors: Chip::anchors(),
        now: JULY_2025,
    }
}
