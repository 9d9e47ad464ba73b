//! A chip that is made here, and its maker: reports that are signed by a key under a root of ours.
//!
//! What comes out is what AMD's firmware and AMD's certificates look like, so that everything that
//! they never are can be shown to be refused.

use std::sync::LazyLock;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA384,
};
use propeller_attest::Tee;
use propeller_attest::snp_report::{REPORT_BYTES, SIGNED_BYTES, SnpReport, SnpTcb};
use propeller_attest::verify::{AmdAnchor, Anchors, Collateral};
use serde_json::{Value, json};

use super::der::{
    bits, boolean, context, ia5, integer, octets, oid, sequence, set, tlv, utc, utf8,
};
use super::samples::{Case, JULY_2025};

/// Keys take a while to make, so that every test uses the same ones.
struct Keys {
    root: RsaKeyPair,
    between: RsaKeyPair,
    stranger: RsaKeyPair,
    chip: EcdsaKeyPair,
    other_chip: EcdsaKeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let rsa = |size| RsaKeyPair::generate(size).unwrap();
    let ec = || EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    Keys {
        root: rsa(KeySize::Rsa4096),
        between: rsa(KeySize::Rsa4096),
        stranger: rsa(KeySize::Rsa2048),
        chip: ec(),
        other_chip: ec(),
    }
});

/// What one of AMD's keys is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signer {
    Root,
    Between,
    /// A key that nobody vouches for, under the name of another.
    Stranger,
}

impl Signer {
    fn key(self) -> &'static RsaKeyPair {
        match self {
            Self::Root => &KEYS.root,
            Self::Between => &KEYS.between,
            Self::Stranger => &KEYS.stranger,
        }
    }

    fn spki(self) -> Vec<u8> {
        self.key().public_key().as_der().unwrap().as_ref().to_vec()
    }
}

/// A certificate, before it is signed.
#[derive(Clone)]
pub(crate) struct Template {
    pub(crate) subject: String,
    pub(crate) issuer: String,
    pub(crate) from: &'static str,
    pub(crate) until: &'static str,
    pub(crate) spki: Vec<u8>,
    pub(crate) extensions: Vec<Vec<u8>>,
}

const FROM: &str = "200101000000Z";
const UNTIL: &str = "300101000000Z";

impl Template {
    pub(crate) fn authority(subject: &str, issuer: &str, owner: Signer) -> Self {
        let extensions = vec![
            extension(&[2, 5, 29, 19], true, &sequence(&[boolean(true)])),
            // keyCertSign and cRLSign.
            extension(&[2, 5, 29, 15], true, &tlv(0x03, &[1, 0b0000_0110])),
        ];
        Self {
            subject: subject.to_owned(),
            issuer: issuer.to_owned(),
            from: FROM,
            until: UNTIL,
            spki: owner.spki(),
            extensions,
        }
    }

    pub(crate) fn signed(&self, signer: Signer) -> Vec<u8> {
        let tbs = sequence(&[
            context(0, &integer(2)),
            integer(0),
            pss(),
            name(&self.issuer),
            sequence(&[utc(self.from), utc(self.until)]),
            name(&self.subject),
            self.spki.clone(),
            context(3, &sequence(&self.extensions)),
        ]);
        let key = signer.key();
        let mut signature = vec![0; key.public_modulus_len()];
        key.sign(&RSA_PSS_SHA384, &SystemRandom::new(), &tbs, &mut signature)
            .unwrap();
        sequence(&[tbs, pss(), bits(&signature)])
    }
}

pub(crate) fn extension(arcs: &[u32], critical: bool, value: &[u8]) -> Vec<u8> {
    let mut parts = vec![oid(arcs)];
    if critical {
        parts.push(boolean(true));
    }
    parts.push(octets(value));
    sequence(&parts)
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = |arc, value| set(&[sequence(&[oid(&[2, 5, 4, arc]), utf8(value)])]);
    sequence(&[attribute(10, "Not AMD"), attribute(3, common_name)])
}

/// RSASSA-PSS with SHA-384, and a salt of 48 bytes.
fn pss() -> Vec<u8> {
    let sha384 = sequence(&[oid(&[2, 16, 840, 1, 101, 3, 4, 2, 2]), tlv(0x05, &[])]);
    let mgf1 = sequence(&[oid(&[1, 2, 840, 113549, 1, 1, 8]), sha384.clone()]);
    let parameters = sequence(&[
        context(0, &sha384),
        context(1, &mgf1),
        context(2, &integer(48)),
    ]);
    sequence(&[oid(&[1, 2, 840, 113549, 1, 1, 10]), parameters])
}

/// AMD's own extensions of a chip's key.
fn amd(arcs: &[u32], value: &[u8]) -> Vec<u8> {
    extension(&[&[1, 3, 6, 1, 4, 1, 3704, 1], arcs].concat(), false, value)
}

/// A chip with its certificates, and the report that it signs. Everything may be changed.
#[derive(Clone)]
pub(crate) struct Chip {
    /// The bytes that are signed.
    pub(crate) report: Vec<u8>,
    pub(crate) ark: Template,
    pub(crate) ark_signer: Signer,
    pub(crate) ask: Template,
    pub(crate) ask_signer: Signer,
    /// `VCEK` or `VLEK`.
    pub(crate) kind: &'static str,
    pub(crate) product: &'static str,
    pub(crate) tcb: SnpTcb,
    /// In the certificate.
    pub(crate) chip_id: Option<Vec<u8>>,
    pub(crate) operator: Option<&'static str>,
    pub(crate) until: &'static str,
    pub(crate) more: Vec<Vec<u8>>,
    pub(crate) signs_with_other_key: bool,
}

pub(crate) const MEASUREMENT: [u8; 48] = [0x33; 48];
pub(crate) const REPORT_DATA: [u8; 48] = [0x44; 48];
pub(crate) const HOST_DATA: [u8; 32] = [0x55; 32];
const CHIP_ID: [u8; 64] = [0x66; 64];

impl Chip {
    /// A Genoa that signs a report in version 3.
    pub(crate) fn genoa() -> Self {
        let tcb = SnpTcb {
            fmc: None,
            bootloader: 10,
            tee: 1,
            snp: 23,
            microcode: 84,
        };
        let mut chip = Self {
            report: vec![0; REPORT_BYTES],
            ark: Template::authority("ARK-Genoa", "ARK-Genoa", Signer::Root),
            ark_signer: Signer::Root,
            ask: Template::authority("SEV-Genoa", "ARK-Genoa", Signer::Between),
            ask_signer: Signer::Root,
            kind: "VCEK",
            product: "Genoa-B1",
            tcb,
            chip_id: Some(CHIP_ID.to_vec()),
            operator: None,
            until: UNTIL,
            more: Vec::new(),
            signs_with_other_key: false,
        };
        chip.put(0x000, &3_u32.to_le_bytes());
        // SMT, and the bit that must be one.
        chip.put(0x008, &0x3_0000_u64.to_le_bytes());
        chip.put(0x034, &1_u32.to_le_bytes());
        chip.put(0x050, &REPORT_DATA);
        chip.put(0x090, &MEASUREMENT);
        chip.put(0x0c0, &HOST_DATA);
        for at in [0x038, 0x180, 0x1e0, 0x1f0] {
            chip.put(at, &[10, 1, 0, 0, 0, 0, 23, 84]);
        }
        chip.put(0x188, &[0x19, 0x11, 0x01]);
        chip.put(0x1a0, &CHIP_ID);
        chip
    }

    /// A Turin that signs a report in version 5. Its identifier is short, and its microcode has a
    /// version that fills a byte.
    pub(crate) fn turin() -> Self {
        let mut chip = Self::genoa();
        chip.tcb = SnpTcb {
            fmc: Some(1),
            bootloader: 2,
            tee: 3,
            snp: 4,
            microcode: 209,
        };
        chip.product = "Turin-B0";
        chip.chip_id = Some(vec![0x77; 8]);
        chip.put(0x000, &5_u32.to_le_bytes());
        for at in [0x038, 0x180, 0x1e0, 0x1f0] {
            chip.put(at, &[1, 2, 3, 4, 0, 0, 0, 209]);
        }
        chip.put(0x188, &[0x1a, 0x02, 0x01]);
        chip.put(0x1a0, &[0; 64]);
        chip.put(0x1a0, &[0x77; 8]);
        chip.put(0x1f8, &7_u64.to_le_bytes());
        chip.put(0x200, &15_u64.to_le_bytes());
        chip
    }

    /// A Genoa of a cloud's operator, who hides its identifier.
    pub(crate) fn of_a_cloud() -> Self {
        let mut chip = Self::genoa();
        chip.kind = "VLEK";
        chip.chip_id = None;
        chip.operator = Some("cloud.example");
        chip.ask.subject = "SEV-VLEK-Genoa".to_owned();
        // SIGNING_KEY is 1.
        chip.put(0x048, &0b100_u32.to_le_bytes());
        chip.put(0x1a0, &[0; 64]);
        chip
    }

    pub(crate) fn put(&mut self, at: usize, field: &[u8]) {
        self.report[at..at + field.len()].copy_from_slice(field);
    }

    pub(crate) fn with(mut self, at: usize, field: &[u8]) -> Self {
        self.put(at, field);
        self
    }

    /// The report, signed.
    pub(crate) fn signed(&self) -> Vec<u8> {
        let key = if self.signs_with_other_key {
            &KEYS.other_chip
        } else {
            &KEYS.chip
        };
        let mut report = self.report.clone();
        let signature = key
            .sign(&SystemRandom::new(), &report[..SIGNED_BYTES])
            .unwrap();
        for (at, number) in [0x2a0, 0x2e8]
            .into_iter()
            .zip(signature.as_ref().chunks(48))
        {
            let little: Vec<u8> = number.iter().rev().copied().collect();
            report[at..at + 48].copy_from_slice(&little);
        }
        report
    }

    pub(crate) fn ark(&self) -> Vec<u8> {
        self.ark.signed(self.ark_signer)
    }

    pub(crate) fn ask(&self) -> Vec<u8> {
        self.ask.signed(self.ask_signer)
    }

    /// The certificate of the key that signs.
    pub(crate) fn key(&self) -> Vec<u8> {
        let SnpTcb {
            fmc,
            bootloader,
            tee,
            snp,
            microcode,
        } = self.tcb;
        let part = |arc, version| amd(&[3, arc], &integer(version));
        let mut extensions = vec![
            amd(&[1], &integer(1)),
            amd(&[2], &ia5(self.product)),
            part(1, bootloader),
            part(2, tee),
            part(3, snp),
            part(8, microcode),
        ];
        extensions.extend(fmc.map(|fmc| part(9, fmc)));
        extensions.extend(self.chip_id.as_ref().map(|id| amd(&[4], id)));
        extensions.extend(self.operator.map(|operator| amd(&[5], &ia5(operator))));
        extensions.extend(self.more.clone());
        let p384 = sequence(&[oid(&[1, 2, 840, 10045, 2, 1]), oid(&[1, 3, 132, 0, 34])]);
        let template = Template {
            subject: format!("SEV-{}", self.kind),
            issuer: self.ask.subject.clone(),
            from: FROM,
            until: self.until,
            spki: sequence(&[p384, bits(KEYS.chip.public_key().as_ref())]),
            extensions,
        };
        template.signed(Signer::Between)
    }

    /// The root, as an anchor. The chip above is under it, whatever becomes of its own certificates.
    pub(crate) fn anchors() -> Anchors {
        let chip = Self::genoa();
        Anchors {
            amd: vec![AmdAnchor {
                ark: chip.ark(),
                ask: chip.ask(),
            }],
            ..Anchors::vendors()
        }
    }

    pub(crate) fn entries(&self) -> Vec<Value> {
        let entry = |kind: &str, der: Vec<u8>| json!({"cert_type": kind, "data": der});
        vec![
            entry("ARK", self.ark()),
            entry("ASK", self.ask()),
            entry(self.kind, self.key()),
        ]
    }

    /// Evidence with the whole chain in it.
    pub(crate) fn case(&self) -> Case {
        let report = SnpReport::from_bytes(&self.signed()).unwrap();
        Case {
            tee: Tee::Snp,
            value: json!({
                "attestation_report": report.to_json(),
                "cert_chain": self.entries(),
            }),
            collateral: Collateral::None,
            anchors: Self::anchors(),
            now: JULY_2025,
        }
    }
}
