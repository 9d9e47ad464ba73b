//! Backups that open, and those that do not.

use super::*;
use crate::key::KeyId;

const PASSPHRASE: &[u8] = b"correct horse battery staple";
/// Fast, for tests.
const LOG_N_TEST: u8 = 10;

fn keys() -> Vec<Key> {
    let label = Label::new("production").unwrap();
    vec![
        Key::from_bytes([1; 32]).labelled(label),
        Key::from_bytes([2; 32]),
    ]
}

fn sealed() -> Vec<u8> {
    seal(&keys(), PASSPHRASE, &[3; SALT_LEN], LOG_N_TEST).unwrap()
}

/// With a check that matches again, as a forger makes it.
fn changed(change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut bytes = sealed();
    bytes.truncate(bytes.len() - CHECK_LEN);
    change(&mut bytes);
    let check = check(&bytes);
    [bytes.as_slice(), &check].concat()
}

fn names(keys: &[Key]) -> Vec<(KeyId, Label)> {
    keys.iter().map(|key| (key.id(), key.label())).collect()
}

#[test]
fn what_is_sealed_opens_with_its_labels() {
    let opened = open(
        &armour::bytes(&armour::text(&sealed())).unwrap(),
        PASSPHRASE,
    )
    .unwrap();
    assert_eq!(names(&opened), names(&keys()));
}

#[test]
fn another_passphrase_is_refused_by_that_name() {
    let error = open(&sealed(), b"correct horse battery stapler").unwrap_err();
    assert_eq!(error, ImportError::Passphrase);
}

#[test]
fn every_flipped_bit_is_damage_and_no_wrong_passphrase() {
    let good = sealed();
    for bit in 0..good.len() * 8 {
        let mut bytes = good.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(
            open(&bytes, PASSPHRASE).unwrap_err(),
            ImportError::Damaged,
            "bit {bit}"
        );
    }
}

#[test]
fn every_cut_of_the_text_is_refused_by_that_name() {
    let text = armour::text(&sealed());
    for len in 0..text.trim_end().len() {
        let expected = if len < armour::BEGIN.len() {
            ImportError::NotABackup
        } else {
            ImportError::Cut
        };
        assert_eq!(
            armour::bytes(&text[..len]).unwrap_err(),
            expected,
            "cut to {len}"
        );
    }
}

#[test]
fn a_lost_line_is_damage() {
    let text = armour::text(&sealed());
    let lines: Vec<&str> = text.lines().collect();
    for lost in 1..lines.len() - 1 {
        let mut rest = lines.clone();
        rest.remove(lost);
        let bytes = armour::bytes(&rest.join("\n"));
        let error = bytes
            .and_then(|bytes| open(&bytes, PASSPHRASE))
            .unwrap_err();
        assert_eq!(error, ImportError::Damaged, "without line {lost}");
    }
}

#[test]
fn white_space_around_lines_does_not_count() {
    let text = armour::text(&sealed());
    let windows = format!("\r\n{}\r\n", text.replace('\n', "\r\n\r\n  "));
    assert_eq!(armour::bytes(&windows).unwrap(), sealed());
}

#[test]
fn what_is_no_base64_is_refused_with_its_line() {
    let text = armour::text(&sealed());
    let check = |from: &str, to: &str, line| {
        let changed = text.replacen(from, to, 1);
        assert_eq!(
            armour::bytes(&changed).unwrap_err(),
            ImportError::Line { line }
        );
    };
    let second = text.lines().nth(1).unwrap();
    check(second, &second.replacen('A', "*", 1), 2);
    check(second, &second[..60], 2);
    check(
        armour::END,
        &format!("{0}\n{0}", armour::END),
        text.lines().count() + 1,
    );
}

#[test]
fn a_text_too_long_for_any_backup_is_not_read() {
    let got = armour::TEXT_LEN_MAX + 1;
    let error = armour::bytes(&" ".repeat(got)).unwrap_err();
    assert_eq!(error, ImportError::Long { got });
}

#[test]
fn no_text_makes_the_reader_spend_more_than_a_backup_needs() {
    let refused = [
        (9, 8, 1),
        (21, 8, 1),
        (63, 8, 1),
        (255, 8, 1),
        (17, 0, 1),
        (17, 9, 1),
        (17, 8, 0),
        (17, 8, 2),
    ];
    for (log_n, r, p) in refused {
        let bytes = changed(|bytes| bytes[8..11].copy_from_slice(&[log_n, r, p]));
        assert_eq!(
            open(&bytes, PASSPHRASE).unwrap_err(),
            ImportError::Cost { log_n, r, p }
        );
    }
}

#[test]
fn what_is_well_formed_and_wrong_has_its_own_name() {
    let check = |bytes: Vec<u8>, expected| {
        assert_eq!(open(&bytes, PASSPHRASE).unwrap_err(), expected);
    };
    check(changed(|bytes| bytes[6] = b'X'), ImportError::NotABackup);
    check(changed(|bytes| bytes.truncate(20)), ImportError::NotABackup);
    check(
        changed(|bytes| bytes[7] = 2),
        ImportError::Version { found: 2 },
    );
    check(
        changed(|bytes| bytes[11] = 3),
        ImportError::Length { count: 3 },
    );
    check(
        changed(|bytes| bytes[11] = 0),
        ImportError::Length { count: 0 },
    );
    check(changed(|bytes| bytes[20] ^= 1), ImportError::Passphrase);
}

#[test]
fn a_label_that_is_none_is_refused() {
    let mut field = [1; ENTRY_LEN];
    assert_eq!(entry(&field).unwrap_err(), ImportError::Label);
    field[KEY_LEN..].fill(0);
    assert!(entry(&field).is_ok());
}

#[test]
fn what_cannot_be_backed_up_is_refused() {
    let none = Audit::none();
    let error = export(&[], PASSPHRASE, none).unwrap_err();
    assert_eq!(error, ExportError::Count { got: 0 });
    let many: Vec<Key> = (0..256).map(|_| Key::random().unwrap()).collect();
    let error = export(&many, PASSPHRASE, none).unwrap_err();
    assert_eq!(error, ExportError::Count { got: 256 });
    let twice = [Key::from_bytes([1; 32]), Key::from_bytes([1; 32])];
    let id = twice[0].id();
    let error = export(&twice, PASSPHRASE, none).unwrap_err();
    assert_eq!(error, ExportError::Repeated { id });
    let error = export(&keys(), b"1234567", none).unwrap_err();
    assert_eq!(error, ExportError::Passphrase { got: 7 });
}
