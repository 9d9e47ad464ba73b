//! Certificates that a host gives along with a report: a table by GUID (AMD's GHCB specification, SNP
//! Extended Guest Request).
//!
//! ```text
//!  (GUID, 16 bytes │ offset u32 │ length u32) … │ 24 zeros │ certificates
//! ```
//!
//! Numbers are little-endian, offsets are from the beginning of the table.

use serde_json::{Value, json};

use super::AttestError;
use crate::Tee;

/// Hosts give three to five.
const CERTIFICATES_MAX: usize = 32;

const ENTRY_BYTES: usize = 24;

/// What GUIDs stand for.
const KNOWN: [(&str, &str); 5] = [
    ("c0b406a4-a803-4952-9743-3fb6014cd0ae", "ARK"),
    ("4ab7b379-bbac-4fe4-a02f-05aef327c782", "ASK"),
    ("63da758d-e664-4564-adc5-f4b93be8accd", "VCEK"),
    ("a8074bc2-a25a-483e-aae6-39c045a0b8a1", "VLEK"),
    ("92f81bc3-5811-4d3d-97ff-d19f88dc67ea", "CRL"),
];

/// The `cert_chain` of evidence: `null` where the key that signs reports has no certificate in the
/// table, so that verifiers get it from AMD instead of refusing a chain without it.
pub(super) fn chain(table: &[u8]) -> Result<Value, AttestError> {
    let mut chain = Vec::new();
    let mut signs = false;
    for at in (0..table.len()).step_by(ENTRY_BYTES) {
        let entry = table.get(at..at + ENTRY_BYTES);
        let entry = entry.ok_or_else(|| malformed("its table of certificates has no end"))?;
        if entry.iter().all(|byte| *byte == 0) {
            break;
        }
        if chain.len() == CERTIFICATES_MAX {
            return Err(malformed("it has more certificates than any host gives"));
        }
        let (guid, place) = entry.split_at(16);
        let data = certificate(table, place);
        let data = data.ok_or_else(|| malformed("a certificate lies outside of its table"))?;
        let guid = text(guid);
        let known = KNOWN.iter().find(|(known, _)| *known == guid);
        signs |= known.is_some_and(|(_, name)| matches!(*name, "VCEK" | "VLEK"));
        let kind = known.map_or_else(|| json!({ "OTHER": guid }), |(_, name)| json!(name));
        chain.push(json!({ "cert_type": kind, "data": data }));
    }
    match signs {
        true => Ok(Value::Array(chain)),
        false => Ok(Value::Null),
    }
}

fn certificate<'a>(table: &'a [u8], place: &[u8]) -> Option<&'a [u8]> {
    let (offset, length) = place.split_first_chunk()?;
    let offset = usize::try_from(u32::from_le_bytes(*offset)).ok()?;
    let length = usize::try_from(u32::from_le_bytes(*length.first_chunk()?)).ok()?;
    table.get(offset..)?.get(..length)
}

/// A GUID as AMD writes it, with its bytes in the order of the text.
fn text(guid: &[u8]) -> String {
    let hex = data_encoding::HEXLOWER.encode(guid);
    let parts = [
        &hex[..8],
        &hex[8..12],
        &hex[12..16],
        &hex[16..20],
        &hex[20..],
    ];
    parts.join("-")
}

fn malformed(what: &'static str) -> AttestError {
    AttestError::Malformed {
        tee: Tee::Snp,
        what,
        source: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A table of certificates, each with its GUID.
    fn table(certificates: &[(&str, &[u8])]) -> Vec<u8> {
        let mut offset = ENTRY_BYTES * (certificates.len() + 1);
        let mut table = Vec::new();
        for (guid, data) in certificates {
            let guid = guid.replace('-', "");
            table.extend(data_encoding::HEXLOWER.decode(guid.as_bytes()).unwrap());
            table.extend(u32::try_from(offset).unwrap().to_le_bytes());
            table.extend(u32::try_from(data.len()).unwrap().to_le_bytes());
            offset += data.len();
        }
        table.extend([0; ENTRY_BYTES]);
        for (_, data) in certificates {
            table.extend(*data);
        }
        table
    }

    #[test]
    fn certificates_have_the_names_that_brokers_know() {
        let other = "00112233-4455-6677-8899-aabbccddeeff";
        let kinds = KNOWN.map(|(guid, name)| (guid, name.as_bytes()));
        let table = table(&[&kinds[..], &[(other, b"?")]].concat());
        let chain = chain(&table).unwrap();
        for (at, (_, name)) in KNOWN.iter().enumerate() {
            assert_eq!(
                chain[at],
                json!({ "cert_type": name, "data": name.as_bytes() })
            );
        }
        assert_eq!(
            chain[5],
            json!({ "cert_type": { "OTHER": other }, "data": [63] })
        );
    }

    #[test]
    fn without_the_key_that_signs_there_is_no_chain() {
        let [ark, ask, vcek, vlek, _] = KNOWN.map(|(guid, _)| guid);
        let is_null = |certificates: &[(&str, &[u8])]| {
            let chain = chain(&table(certificates)).unwrap();
            chain.is_null()
        };
        assert!(chain(&[]).unwrap().is_null());
        assert!(is_null(&[]));
        assert!(is_null(&[(ark, b"a"), (ask, b"b")]));
        assert!(!is_null(&[(vcek, b"a")]));
        assert!(!is_null(&[(vlek, b"a")]));
    }

    #[test]
    fn a_table_that_lies_is_refused() {
        let [.., vcek, _, _] = KNOWN.map(|(guid, _)| guid);
        let good = table(&[(vcek, b"der")]);
        let refused = |table: &[u8]| {
            let error = chain(table).unwrap_err();
            assert!(matches!(error, AttestError::Malformed { .. }), "{error}");
        };
        refused(&good[..good.len() - 1]);
        refused(&good[..23]);
        let mut outside = good.clone();
        outside[16..20].fill(0xff);
        refused(&outside);
        let mut long = good;
        long[20..24].fill(0xff);
        refused(&long);
        let many = vec![(vcek, &b""[..]); CERTIFICATES_MAX + 1];
        refused(&table(&many));
    }
}
