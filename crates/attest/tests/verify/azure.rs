//! Evidence of Azure's virtual machines: of one that is made here, and of what Microsoft's published.

use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use data_encoding::{BASE64, BASE64URL, BASE64URL_NOPAD, HEXLOWER};
use propeller_attest::Tee;
use propeller_attest::snp_report::{SnpReport, SnpTcb};
use propeller_attest::verify::{
    Approved, AzureGuest, AzurePolicy, Collateral, Expected, Measurement, Platform, Policy,
    Refused, SnpChain, SnpPolicy, Verdict,
};
use serde_json::{Value, json};

use super::chip::{Chip, MEASUREMENT};
use super::samples::{Case, JULY_2025, file, lenient, tdx};

const DATA: [u8; 48] = [7; 48];
const REPORT_DATA_AT: usize = 0x050;
const VMPL_AT: usize = 0x030;

/// Something that is not as it should be.
type Change = fn(&mut Machine);

/// Of the TPM.
static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

/// A machine of Azure's on a chip that is made here. Everything may be changed.
struct Machine {
    chip: Chip,
    runtime_data: Value,
    /// Kind of the paravisor's report, and of its hash.
    kind: u32,
    hash: u32,
    message: Vec<u8>,
    registers: Vec<[u8; 32]>,
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
fn message(data: &[u8], registers: &[[u8; 32]]) -> Vec<u8> {
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
    fn new() -> Self {
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

    fn report(&self) -> Vec<u8> {
        let json = self.runtime_data.to_string().into_bytes();
        let mut data = digest(&SHA256, &json).as_ref().to_vec();
        data.resize(64, 0);
        let hardware = self.chip.clone().with(REPORT_DATA_AT, &data).signed();
        paravisor(&hardware, self.kind, self.hash, &json)
    }

    fn quote(&self) -> Value {
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

    fn evidence(&self) -> Value {
        json!({
            "version": 1,
            "tpm_quote": self.quote(),
            "hcl_report": BASE64URL.encode(&self.report()),
            "vcek": BASE64URL.encode(&self.chip.key()),
        })
    }

    fn case(&self) -> Case {
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

fn on_snp(value: Value) -> Case {
    Case {
        tee: Tee::AzSnpVtpm,
        value,
        collateral: Collateral::None,
        anchors: Chip::anchors(),
        now: JULY_2025,
    }
}

/// The evidence with something else at a place in it.
fn with(pointer: &str, value: Value) -> Case {
    let mut evidence = Machine::new().evidence();
    *evidence.pointer_mut(pointer).unwrap() = value;
    on_snp(evidence)
}

#[test]
fn the_hardware_vouches_for_the_tpm_and_the_tpm_for_the_report_data() {
    let claims = Machine::new().case().claims();
    assert_eq!(claims.tee(), Tee::AzSnpVtpm);
    assert_eq!(claims.report_data(), DATA);
    assert_eq!(claims.measurement(), Some(HEXLOWER.encode(&MEASUREMENT)));
    assert!(!claims.is_open());
    assert!(claims.valid_until().is_some());
    let json = claims.to_json();
    assert_eq!(json["tpm"]["pcr04"], HEXLOWER.encode(&[4; 32]));
    assert_eq!(json["tpm"].as_object().unwrap().len(), 24);
    assert_eq!(json["vm_configuration"], json!({"secure-boot": true}));
    assert_eq!(json["report_data"], HEXLOWER.encode(&DATA));
    assert_eq!(json["signer"], "vcek");
    let Platform::Azure(claims) = claims.platform() else {
        panic!("{claims:?}")
    };
    assert!(matches!(claims.guest, AzureGuest::Snp(_)));
    // The newer form has the report data in the runtime data as well.
    with("/version", json!(2)).claims();
}

#[test]
fn the_certificate_may_come_from_whoever_judges() {
    let machine = Machine::new();
    let mut case = machine.case();
    case.value["vcek"] = json!("");
    assert!(case.authenticate().is_err());
    case.collateral = Collateral::Snp(SnpChain {
        vcek: Some(machine.chip.key()),
        ..SnpChain::default()
    });
    case.claims();
}

#[test]
fn every_link_of_the_chain_counts() {
    let refusal = |machine: Machine| machine.case().refusal();
    let none = "the evidence is none of a virtual machine of Azure's: ";
    let signed_otherwise = "the quote is not signed with the TPM's key: one of them was changed";

    let mut other = Machine::new();
    other.message[60] ^= 1;
    let mut changed = Machine::new().evidence();
    changed["tpm_quote"]["message"] = json!(HEXLOWER.encode(&other.message));
    assert_eq!(
        on_snp(changed).refusal(),
        format!("{none}{signed_otherwise}")
    );

    let mut other = Machine::new();
    other.registers[3] = [9; 32];
    let registers = "`pcrs` are not the 24 registers that the quote is about";
    assert_eq!(refusal(other), format!("{none}{registers}"));

    let mut other = Machine::new();
    other.registers.pop();
    assert_eq!(refusal(other), format!("{none}{registers}"));

    // A quote of another machine's TPM beside a genuine report.
    let mut stolen = Machine::new().evidence();
    let mut other = Machine::new();
    other.runtime_data["keys"][0]["n"] = json!(BASE64URL_NOPAD.encode(&[0xc1; 256]));
    stolen["hcl_report"] = json!(BASE64URL.encode(&other.report()));
    assert_eq!(
        on_snp(stolen).refusal(),
        format!("{none}{signed_otherwise}")
    );

    // Runtime data that name our key, and hardware that knows nothing of them.
    let machine = Machine::new();
    let json = machine.runtime_data.to_string().into_bytes();
    for data in [[0; 64], [0xff; 64]] {
        let hardware = machine.chip.clone().with(REPORT_DATA_AT, &data).signed();
        let report = paravisor(&hardware, 2, 1, &json);
        let refusal = with("/hcl_report", json!(BASE64URL.encode(&report))).refusal();
        let expected = "the hardware's report is about other runtime data: the TPM is not this \
                        machine's";
        assert_eq!(refusal, format!("{none}{expected}"));
    }

    // A report of the hardware's that nobody signed.
    let mut report = machine.report();
    report[32 + 0x90] ^= 1;
    let refusal = with("/hcl_report", json!(BASE64URL.encode(&report))).refusal();
    assert!(
        refusal.starts_with("the report's signature is not one of the VCEK"),
        "{refusal}"
    );

    // A chip under nobody's root.
    let mut case = Machine::new().case();
    case.anchors = propeller_attest::verify::Anchors::vendors();
    assert!(
        case.refusal()
            .contains("the key that signed the report is not vouched for")
    );
}

#[test]
fn what_the_tpm_signs_has_to_be_a_quote() {
    for at in [0, 5] {
        let mut machine = Machine::new();
        machine.message[at] ^= 1;
        let refusal = machine.case().refusal();
        assert!(
            refusal.ends_with("no quote of the registers 0 to 23 of SHA-256"),
            "{refusal}"
        );
    }
}

#[test]
fn the_paravisors_report_says_what_it_is_and_what_it_signs_with() {
    let report = "`hcl_report` is no report of a paravisor of this kind, with SHA-256";
    let key = "the runtime data name no RSA key `HCLAkPub` of the TPM, or more than one";
    let changed = |change: Change| {
        let mut machine = Machine::new();
        change(&mut machine);
        machine.case().refusal()
    };
    let cases: [(Change, &str); 7] = [
        (|machine| machine.kind = 4, report),
        (|machine| machine.kind = 3, report),
        (|machine| machine.hash = 2, report),
        (|machine| machine.runtime_data = json!([]), key),
        (|machine| machine.runtime_data["keys"] = json!([]), key),
        (
            |machine| {
                let key = machine.runtime_data["keys"][0].clone();
                machine.runtime_data["keys"] = json!([key, key]);
            },
            key,
        ),
        (
            |machine| machine.runtime_data["keys"][0]["kty"] = json!("EC"),
            key,
        ),
    ];
    for (change, expected) in cases {
        let refusal = changed(change);
        assert!(refusal.ends_with(expected), "{refusal}");
    }
}

#[test]
fn evidence_has_its_form() {
    for (pointer, value, expected) in [
        (
            "/version",
            json!(0),
            "it has version 0 of its form, and 1 and 2 of `az-snp-vtpm` are known",
        ),
        (
            "/version",
            json!("1"),
            "not the JSON of `az-snp-vtpm` evidence",
        ),
        (
            "/hcl_report",
            json!("AA"),
            "member `hcl_report` is not base64 for URLs with padding",
        ),
        (
            "/vcek",
            json!("+A=="),
            "member `vcek` is not base64 for URLs with padding",
        ),
        (
            "/tpm_quote/message",
            json!("xy"),
            "member `message` is not hexadecimal",
        ),
        (
            "/tpm_quote/signature",
            json!("0"),
            "member `signature` is not hexadecimal",
        ),
        (
            "/tpm_quote/pcrs/23",
            json!("00"),
            "`pcrs` are not the 24 registers",
        ),
        (
            "/tpm_quote/message",
            json!("00".repeat(4097)),
            "`message` has 4097 bytes",
        ),
        (
            "/hcl_report",
            json!("AAAA".repeat(22_000)),
            "`hcl_report` has 66000 bytes",
        ),
    ] {
        let refusal = with(pointer, value).refusal();
        assert!(refusal.contains(expected), "{refusal}");
    }
    let mut more = Machine::new().evidence();
    more["more"] = json!(1);
    assert!(on_snp(more).refusal().starts_with("not the JSON of"));
    let mut collateral = Machine::new().case();
    collateral.collateral = tdx().collateral;
    assert!(collateral.refusal().contains("not of the kind"));
}

fn policy(change: impl FnOnce(&mut AzurePolicy<SnpPolicy>)) -> Policy {
    let snp = SnpPolicy::new(Approved::Any, SnpTcb::default());
    let mut azure = AzurePolicy::new(snp);
    change(&mut azure);
    Policy {
        azure_snp: Some(azure),
        ..Policy::default()
    }
}

fn judged(
    machine: &Machine,
    policy: &Policy,
    init_data: Option<&[u8]>,
) -> Result<Verdict, Refused> {
    let expected = Expected {
        report_data: &DATA,
        init_data,
    };
    policy.judge(&machine.case().claims(), &expected)
}

#[test]
fn a_policy_names_the_paravisor_and_what_was_measured_above_it() {
    let machine = Machine::new();
    let verdict = judged(&machine, &policy(|_| ()), None).unwrap();
    assert_eq!(verdict.label(), "az-snp-vtpm");
    // Hardware alone, or registers alone, say nothing of what runs.
    assert_eq!(verdict.status().name(), "none");
    let pinned = |azure: &mut AzurePolicy<SnpPolicy>| {
        azure.guest.measurements = Approved::from_iter([Measurement(MEASUREMENT)]);
        azure.registers[4] = Approved::from_iter([Measurement([4; 32])]);
        azure.registers[9] = Approved::from_iter([Measurement([9; 32])]);
    };
    let verdict = judged(&machine, &policy(pinned), None).unwrap();
    assert_eq!(verdict.status().name(), "affirming");
    let verdict = judged(
        &machine,
        &policy(|azure| {
            pinned(azure);
            azure.guest.measurements = Approved::Any;
        }),
        None,
    );
    assert_eq!(verdict.unwrap().status().name(), "none");

    let refused = judged(
        &machine,
        &policy(|azure| {
            azure.guest.measurements = Approved::from_iter([Measurement([1; 48])]);
            azure.registers[7] = Approved::from_iter([Measurement([1; 32])]);
        }),
        None,
    );
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("the measurement is 3333"), "{refused}");
    assert!(refused.contains("PCR7 is 0707"), "{refused}");
}

#[test]
fn a_policy_for_the_hardware_alone_is_none_for_azure() {
    let refused = judged(&Machine::new(), &lenient(), None).unwrap_err();
    let expected = "the policy accepts no evidence of kind `az-snp-vtpm`";
    assert!(refused.to_string().contains(expected), "{refused}");
}

#[test]
fn a_guest_that_asks_the_firmware_itself_is_not_its_paravisor() {
    let mut machine = Machine::new();
    machine.chip.put(VMPL_AT, &2_u32.to_le_bytes());
    let refused = judged(&machine, &policy(|_| ()), None).unwrap_err();
    assert!(
        refused.to_string().contains("privilege level 2"),
        "{refused}"
    );
}

#[test]
fn report_data_are_not_padded_and_not_nothing() {
    let claims = Machine::new().case().claims();
    let policy = policy(|_| ());
    let mut padded = DATA.to_vec();
    padded.resize(64, 0);
    for other in [&padded[..], &DATA[..47], &[8; 48], &[]] {
        let expected = Expected {
            report_data: other,
            init_data: None,
        };
        let refused = policy.judge(&claims, &expected).unwrap_err().to_string();
        assert!(
            refused.contains("the report data is not the expected one"),
            "{refused}"
        );
    }
    let mut about_nothing = Machine::new();
    about_nothing.message = message(&[], &about_nothing.registers);
    let expected = Expected {
        report_data: &[],
        init_data: None,
    };
    let claims = about_nothing.case().claims();
    assert!(policy.judge(&claims, &expected).is_err());
}

#[test]
fn init_data_are_what_register_8_was_extended_with_first() {
    let digest_of_init_data = [0x5a; 32];
    let mut machine = Machine::new();
    let register = digest(&SHA256, &[[0; 32], digest_of_init_data].concat());
    machine.registers[8] = register.as_ref().try_into().unwrap();
    machine.message = message(&DATA, &machine.registers);
    let policy = policy(|_| ());
    let verdict = judged(&machine, &policy, Some(&digest_of_init_data)).unwrap();
    assert!(verdict.binds_init_data());
    for other in [&[0x5b; 32][..], &[0x5a; 31], &[0x5a; 48], &[]] {
        let refused = judged(&machine, &policy, Some(other)).unwrap_err();
        assert!(
            refused.to_string().contains("PCR8 is not the digest"),
            "{refused}"
        );
    }
}

/// A report that Azure's paravisor made. The certificate of its chip was not published with it.
#[test]
fn a_genuine_report_vouches_for_its_runtime_data() {
    let report = file("azure/hcl_report_snp.bin");
    let hardware = SnpReport::from_bytes(&report[32..1216]).unwrap();
    let runtime_data = digest(&SHA256, &report[1236..1236 + 583]);
    assert_eq!(hardware.report_data()[..32], *runtime_data.as_ref());
    assert_eq!(hardware.vmpl(), 0);
    // Of a quote by its TPM, nothing was published: what is left is that another's is refused.
    let mut evidence = Machine::new().evidence();
    evidence["hcl_report"] = json!(BASE64URL.encode(&report));
    let refusal = on_snp(evidence).refusal();
    assert!(
        refusal.contains("not signed with the TPM's key"),
        "{refusal}"
    );
}

/// A quote of the virtual TPM of another machine, under a report that is made here.
#[test]
fn a_genuine_quote_of_azures_tpm_is_read() {
    let genuine: Value = serde_json::from_slice(&file("azure/quote.json")).unwrap();
    let mut machine = Machine::new();
    machine.runtime_data = json!({"keys": [genuine["key"]]});
    let mut evidence = machine.evidence();
    evidence["tpm_quote"] = genuine["tpm_quote"].clone();
    let claims = on_snp(evidence).claims();
    assert_eq!(claims.report_data(), b"challenge");
    let first = &genuine["tpm_quote"]["pcrs"][0];
    assert_eq!(&claims.to_json()["tpm"]["pcr00"], first);
}

fn on_tdx(report: &[u8], quote: &Value) -> Case {
    let sample = tdx();
    let td_quote = BASE64.decode(sample.value["quote"].as_str().unwrap().as_bytes());
    Case {
        tee: Tee::AzTdxVtpm,
        value: json!({
            "version": 1,
            "tpm_quote": quote,
            "hcl_report": BASE64URL.encode(report),
            "td_quote": BASE64URL.encode(&td_quote.unwrap()),
        }),
        ..sample
    }
}

#[test]
fn a_quote_of_tdx_has_to_vouch_for_the_tpm_as_well() {
    let mut machine = Machine::new();
    machine.kind = 4;
    let (report, quote) = (machine.report(), machine.quote());
    // It is authentic, and about something else.
    let refusal = on_tdx(&report, &quote).refusal();
    assert!(
        refusal.ends_with("the TPM is not this machine's"),
        "{refusal}"
    );
    let mut case = on_tdx(&report, &quote);
    case.collateral = Collateral::None;
    assert!(
        case.refusal()
            .starts_with("evidence of kind `az-tdx-vtpm` cannot be judged without")
    );
    let genuine = file("azure/hcl_report_tdx.bin");
    let refusal = on_tdx(&genuine, &quote).refusal();
    assert!(
        refusal.contains("not signed with the TPM's key"),
        "{refusal}"
    );
    let refusal = on_tdx(&Machine::new().report(), &quote).refusal();
    assert!(
        refusal.contains("no report of a paravisor of this kind"),
        "{refusal}"
    );
}
