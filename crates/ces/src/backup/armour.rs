//! The text form of a backup: lines of base64 between a first and a last line.

use data_encoding::BASE64;

use super::error::ImportError;

pub(super) const BEGIN: &str = "-----BEGIN PROPELLER CES KEYS-----";
pub(super) const END: &str = "-----END PROPELLER CES KEYS-----";
/// Longest text that is read, in bytes: 255 keys take 19,500, and the rest is room for white space.
pub(super) const TEXT_LEN_MAX: usize = 65_536;
/// As in PEM (RFC 7468): 48 bytes.
const LINE_LEN: usize = 64;

pub(super) fn text(bytes: &[u8]) -> String {
    let mut text = format!("{BEGIN}\n");
    for line in bytes.chunks(LINE_LEN / 4 * 3) {
        BASE64.encode_append(line, &mut text);
        text.push('\n');
    }
    text + END + "\n"
}

/// The bytes that the lines stand for. White space around lines does not count, nor do empty lines:
/// both come of copying.
pub(super) fn bytes(text: &str) -> Result<Vec<u8>, ImportError> {
    if text.len() > TEXT_LEN_MAX {
        return Err(ImportError::Long { got: text.len() });
    }
    let mut lines = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim()))
        .filter(|(_, line)| !line.is_empty());
    let begins = lines.next().is_some_and(|(_, line)| line == BEGIN);
    if !begins {
        return Err(ImportError::NotABackup);
    }
    let mut base64 = Vec::new();
    let mut ended = false;
    for (line, content) in lines {
        match content {
            _ if ended => return Err(ImportError::Line { line }),
            END => ended = true,
            _ => base64.push((line, content)),
        }
    }
    if !ended {
        return Err(ImportError::Cut);
    }
    decode(&base64)
}

/// Every line but the last is full, so that a lost line's end does not shift the others.
fn decode(lines: &[(usize, &str)]) -> Result<Vec<u8>, ImportError> {
    let mut bytes = Vec::new();
    for (position, (line, content)) in lines.iter().enumerate() {
        let is_last = position + 1 == lines.len();
        let decoded = BASE64.decode(content.as_bytes()).ok();
        match decoded {
            Some(decoded) if content.len() == LINE_LEN || (is_last && content.len() < LINE_LEN) => {
                bytes.extend_from_slice(&decoded);
            }
            _ => return Err(ImportError::Line { line: *line }),
        }
    }
    Ok(bytes)
}
