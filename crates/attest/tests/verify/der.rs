//! DER (ITU-T X.690), as far as certificates need it: no library here makes ones that are signed
//! with RSASSA-PSS.

pub(crate) fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..=0x7f => bytes.push(u8::try_from(length).unwrap()),
        0x80..=0xff => bytes.extend([0x81, u8::try_from(length).unwrap()]),
        _ => {
            let length = u16::try_from(length).unwrap().to_be_bytes();
            bytes.push(0x82);
            bytes.extend(length);
        }
    }
    bytes.extend(content);
    bytes
}

pub(crate) fn sequence(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

pub(crate) fn set(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x31, &parts.concat())
}

/// A tag of the context, around something.
pub(crate) fn context(number: u8, content: &[u8]) -> Vec<u8> {
    tlv(0xa0 | number, content)
}

/// A number that is not negative.
pub(crate) fn integer(number: u8) -> Vec<u8> {
    match number {
        0..=0x7f => tlv(0x02, &[number]),
        _ => tlv(0x02, &[0, number]),
    }
}

pub(crate) fn boolean(value: bool) -> Vec<u8> {
    tlv(0x01, &[if value { 0xff } else { 0 }])
}

pub(crate) fn octets(content: &[u8]) -> Vec<u8> {
    tlv(0x04, content)
}

pub(crate) fn bits(content: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], content].concat())
}

pub(crate) fn utf8(text: &str) -> Vec<u8> {
    tlv(0x0c, text.as_bytes())
}

pub(crate) fn ia5(text: &str) -> Vec<u8> {
    tlv(0x16, text.as_bytes())
}

/// `YYMMDDHHMMSSZ`
pub(crate) fn utc(time: &str) -> Vec<u8> {
    tlv(0x17, time.as_bytes())
}

pub(crate) fn oid(arcs: &[u32]) -> Vec<u8> {
    let (first, rest) = (arcs[0] * 40 + arcs[1], &arcs[2..]);
    let mut content = Vec::new();
    for arc in [first].iter().chain(rest) {
        let groups = (0..5).rev().map(|index| arc >> (7 * index) & 0x7f);
        let groups: Vec<u32> = groups.skip_while(|group| *group == 0).collect();
        match groups.split_last() {
            None => content.push(0),
            Some((last, more)) => {
                content.extend(
                    more.iter()
                        .map(|group| u8::try_from(*group).unwrap() | 0x80),
                );
                content.push(u8::try_from(*last).unwrap());
            }
        }
    }
    tlv(0x06, &content)
}

/// A certificate as text.
pub(crate) fn pem(der: &[u8]) -> String {
    let body = data_encoding::BASE64.encode(der);
    format!("-----BEGIN CERTIFICATE-----\n{body}\n-----END CERTIFICATE-----\n")
}
