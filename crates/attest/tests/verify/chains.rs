//! Certificates from a chip's key up to a root, and everything that is wrong with them.

use propeller_attest::snp_report::SnpTcb;
use serde_json::json;

use super::chip::{Chip, Signer, Template, extension};
use super::reports::{check, check_chip};

#[test]
fn a_stranger_under_the_name_of_a_root_is_a_foreign_root() {
    let mut chip = Chip::genoa();
    chip.ark = Template::authority("ARK-Genoa", "ARK-Genoa", Signer::Stranger);
    chip.ark_signer = Signer::Stranger;
    chip.ask_signer = Signer::Stranger;
    check_chip(&chip, "a root that is none of AMD's");
    // Not even if it keeps its root to itself.
    let mut case = chip.case();
    case.value["cert_chain"].as_array_mut().unwrap().remove(0);
    check(&case, "certificate `ASK` is not signed by its issuer");
    let mut chip = Chip::genoa();
    chip.ask.issuer = "ARK-Elsewhere".to_owned();
    check_chip(&chip, "a root that is none of AMD's");
}

#[test]
fn a_root_with_the_right_key_that_somebody_else_wrote_is_refused() {
    let mut chip = Chip::genoa();
    chip.ark_signer = Signer::Stranger;
    check_chip(&chip, "certificate `ARK` is not signed by its issuer");
}

#[test]
fn a_stranger_between_the_root_and_the_chip_is_refused() {
    let mut chip = Chip::genoa();
    chip.ask_signer = Signer::Stranger;
    check_chip(&chip, "certificate `ASK` is not signed by its issuer");
    let mut chip = Chip::genoa();
    chip.ask = Template::authority("SEV-Genoa", "ARK-Genoa", Signer::Stranger);
    check_chip(&chip, "certificate `VCEK` is not signed by its issuer");
}

#[test]
fn only_an_authority_issues() {
    let unusable = "certificate `ASK` is unusable";
    let mut chip = Chip::genoa();
    chip.ask.extensions.remove(0);
    check_chip(&chip, &format!("{unusable}: it is not one of an authority"));
    let mut chip = Chip::genoa();
    chip.ask.extensions.pop();
    check_chip(&chip, &format!("{unusable}: its key is not for signing"));
    // A key of a chip issues nothing, whatever is under it.
    let mut case = Chip::genoa().case();
    let key = case.value["cert_chain"][2]["data"].clone();
    case.value["cert_chain"][1]["data"] = key;
    check(&case, "a root that is none of AMD's");
}

#[test]
fn every_certificate_is_judged_at_its_time() {
    let expired = "200102000000Z";
    let mut chip = Chip::genoa();
    chip.ark.until = expired;
    check_chip(&chip, "certificate `ARK` is not valid at this time");
    let mut chip = Chip::genoa();
    chip.ask.until = expired;
    check_chip(&chip, "certificate `ASK` is not valid at this time");
    let mut chip = Chip::genoa();
    chip.until = expired;
    check_chip(&chip, "certificate `VCEK` is not valid at this time");
    let mut chip = Chip::genoa();
    chip.ask.from = "260101000000Z";
    check_chip(&chip, "certificate `ASK` is not valid at this time");
}

#[test]
fn a_key_of_another_state_of_the_chip_is_refused() {
    let parts: [fn(&mut SnpTcb); 5] = [
        |tcb| tcb.bootloader += 1,
        |tcb| tcb.tee += 1,
        |tcb| tcb.snp -= 1,
        |tcb| tcb.microcode += 1,
        |tcb| tcb.fmc = Some(0),
    ];
    for part in parts {
        let mut chip = Chip::genoa();
        part(&mut chip.tcb);
        check_chip(&chip, "about another TCB version than the report");
    }
    let mut chip = Chip::turin();
    chip.tcb.fmc = None;
    check_chip(&chip, "about another TCB version than the report");
}

#[test]
fn a_key_of_another_chip_is_refused() {
    let ids: [&[u8]; 5] = [&[0x65; 64], &[0x66; 63], &[0x66; 8], &[0x66; 65], &[]];
    for id in ids {
        let mut chip = Chip::genoa();
        chip.chip_id = Some(id.to_vec());
        check_chip(&chip, "about another chip than the report");
    }
    let mut chip = Chip::turin();
    chip.put(0x1df, &[1]);
    check_chip(&chip, "about another chip than the report");
    // The host hides which chip it is: then nobody can say.
    let chip = Chip::genoa().with(0x1a0, &[0; 64]);
    check_chip(&chip, "about another chip than the report");
}

#[test]
fn a_key_of_another_product_is_refused() {
    for product in ["Milan-B0", "Turin", "", "Geno", "-Genoa"] {
        let mut chip = Chip::genoa();
        chip.product = product;
        check_chip(&chip, "about another product than the report");
    }
}

#[test]
fn a_key_is_either_of_a_chip_or_of_an_operator() {
    let why = "a VCEK names a chip, and a VLEK an operator";
    let mut chip = Chip::genoa();
    chip.chip_id = None;
    check_chip(&chip, why);
    let mut chip = Chip::genoa();
    chip.operator = Some("cloud.example");
    check_chip(&chip, why);
    let mut chip = Chip::of_a_cloud();
    chip.operator = None;
    check_chip(&chip, why);
    // One is handed in as the other.
    let mut case = Chip::of_a_cloud().case();
    let key = Chip::genoa().entries().pop().unwrap();
    case.value["cert_chain"][2]["data"] = key["data"].clone();
    check(&case, "its name says that it is something else");
}

#[test]
fn a_certificate_is_one_of_amds_form() {
    let changed = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut case = Chip::genoa().case();
        let mut der = Chip::genoa().key();
        change(&mut der);
        case.value["cert_chain"][2]["data"] = json!(der);
        case
    };
    check(&changed(&|der| der.clear()), "it is not DER of X.509");
    check(&changed(&|der| der.truncate(700)), "it is not DER of X.509");
    check(&changed(&|der| der.push(0)), "something follows it");
    check(&changed(&|der| der.resize(20_000, 0)), "longer than any");
    let unknown = extension(&[2, 5, 29, 30], true, &[0x30, 0]);
    let mut chip = Chip::genoa();
    chip.more.push(unknown.clone());
    check_chip(&chip, "a critical extension that is not known");
    let mut chip = Chip::genoa();
    chip.ask.extensions.push(unknown);
    check_chip(&chip, "a critical extension that is not known");
    let twice = extension(&[1, 3, 6, 1, 4, 1, 3704, 1, 3, 8], false, &[2, 1, 84]);
    let mut chip = Chip::genoa();
    chip.more.push(twice);
    check_chip(&chip, "it says something twice");
    let mut chip = Chip::genoa();
    let fmc = extension(&[1, 3, 6, 1, 4, 1, 3704, 1, 3, 9], false, &[2, 2, 1, 0]);
    chip.more.push(fmc);
    check_chip(&chip, "a part of its TCB version is not a byte");
    let mut chip = Chip::genoa();
    let operator = extension(&[1, 3, 6, 1, 4, 1, 3704, 1, 5], false, &[0x16, 1, 0x80]);
    chip.more.push(operator);
    check_chip(&chip, "a name in it is not text");
}
