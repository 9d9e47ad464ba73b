//! Claims as JSON, under the names that tokens use.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::{
    AzureClaims, AzureGuest, DcapTcb, SampleClaims, SgxClaims, SnpClaims, SnpKey, TdxClaims,
};
use crate::verify::measurement::Measurement;

pub(super) fn sample(SampleClaims { svn, report_data }: &SampleClaims) -> Value {
    json!({"svn": svn, "report_data": HEXLOWER.encode(report_data)})
}

pub(super) fn tdx(claims: &TdxClaims) -> Value {
    let TdxClaims {
        measurement,
        registers: [rtmr_0, rtmr_1, rtmr_2, rtmr_3],
        config_id,
        owner,
        owner_config,
        module,
        attributes,
        xfam,
        report_data,
        tcb,
    } = claims;
    json!({
        "mr_td": measurement,
        "rtmr_0": rtmr_0,
        "rtmr_1": rtmr_1,
        "rtmr_2": rtmr_2,
        "rtmr_3": rtmr_3,
        "mr_config_id": config_id,
        "mr_owner": owner,
        "mr_owner_config": owner_config,
        "mr_seam": module,
        "td_attributes": HEXLOWER.encode(&attributes.to_le_bytes()),
        "xfam": HEXLOWER.encode(&xfam.to_le_bytes()),
        "debug": claims.is_debug(),
        "report_data": HEXLOWER.encode(report_data),
        "tcb": dcap(tcb),
    })
}

pub(super) fn sgx(claims: &SgxClaims) -> Value {
    let SgxClaims {
        measurement,
        signer,
        product,
        svn,
        attributes,
        report_data,
        tcb,
    } = claims;
    json!({
        "mr_enclave": measurement,
        "mr_signer": signer,
        "isv_prod_id": product,
        "isv_svn": svn,
        "attributes": HEXLOWER.encode(&attributes.to_le_bytes()),
        "debug": claims.is_debug(),
        "report_data": HEXLOWER.encode(report_data),
        "tcb": dcap(tcb),
    })
}

fn dcap(tcb: &DcapTcb) -> Value {
    let DcapTcb {
        status,
        advisories,
        evaluation,
        fmspc,
    } = tcb;
    json!({
        "status": status.name(),
        "advisory_ids": advisories,
        "evaluation_data_number": evaluation,
        "fmspc": HEXLOWER.encode(fmspc),
    })
}

pub(super) fn snp(SnpClaims { report, key }: &SnpClaims) -> Value {
    let (signer, operator) = match key {
        SnpKey::Vcek => ("vcek", None),
        SnpKey::Vlek { operator } => ("vlek", Some(operator)),
    };
    json!({
        "measurement": Measurement(report.measurement()),
        "host_data": Measurement(report.host_data()),
        "report_data": HEXLOWER.encode(&report.report_data()),
        "version": report.version(),
        "vmpl": report.vmpl(),
        "guest_svn": report.guest_svn(),
        "policy": report.policy().0,
        "debug": report.policy().allows_debugging(),
        "migration": report.policy().allows_migration(),
        "platform_info": report.platform_info(),
        "product": report.product().map(|product| product.name()),
        "chip_id": HEXLOWER.encode(&report.chip_id()),
        "reported_tcb": report.reported_tcb(),
        "current_tcb": report.current_tcb(),
        "committed_tcb": report.committed_tcb(),
        "launch_tcb": report.launch_tcb(),
        "signer": signer,
        "operator": operator,
    })
}

/// The hardware's, with what the TPM says beside it.
pub(super) fn azure(claims: &AzureClaims) -> Value {
    let AzureClaims {
        guest,
        registers,
        configuration,
        report_data,
    } = claims;
    let mut json = match guest {
        AzureGuest::Snp(claims) => snp(claims),
        AzureGuest::Tdx(claims) => tdx(claims),
    };
    let names = (0..).map(|number| format!("pcr{number:02}"));
    let tpm: Map<String, Value> = names.zip(registers.iter().map(|one| json!(one))).collect();
    json["hardware_report_data"] = json["report_data"].take();
    json["report_data"] = json!(HEXLOWER.encode(report_data));
    json["tpm"] = Value::Object(tpm);
    json["vm_configuration"] = configuration.clone();
    json
}
