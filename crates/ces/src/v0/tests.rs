//! What vectors in files would be too large, or too many, for.

use super::*;

/// Shards as the older implementation makes them.
fn shards(geometry: Geometry, key: &Key, body: &[u8]) -> Vec<Vec<u8>> {
    let nonce = [7; XNONCE_LEN];
    let (sealing, inner) = keyed(key.secret(), &nonce);
    let mut sealed = body.to_vec();
    sealing
        .seal_in_place_append_tag(inner, Aad::empty(), &mut sealed)
        .unwrap();
    let len = u32::try_from(XNONCE_LEN + sealed.len()).unwrap();
    let mut data = [&len.to_le_bytes()[..], &nonce, &sealed].concat();
    let row_len = data.len().div_ceil(geometry.data().into());
    data.resize(row_len * usize::from(geometry.data()), 0);
    let mut parity = vec![0; row_len * usize::from(geometry.parity())];
    Code::new(geometry)
        .encode(&data, &mut parity, row_len)
        .unwrap();
    let all = [data, parity].concat();
    all.chunks(row_len).map(<[u8]>::to_vec).collect()
}

fn geometry(data: u8, parity: u8) -> Geometry {
    Geometry::new(data, parity).unwrap()
}

fn key() -> Key {
    Key::from_bytes([3; 32])
}

fn open(geometry: Geometry, shards: &[Vec<u8>], max: usize) -> Result<Vec<u8>, ReconstructError> {
    let reader = Reader {
        geometry,
        plain_len_max: max,
        audit: Audit::none(),
    };
    let shards: Vec<Option<&[u8]>> = shards.iter().map(|shard| Some(&shard[..])).collect();
    reader
        .reconstruct(&shards, &key())
        .map(|plain| plain.to_vec())
}

fn text(len: usize) -> Vec<u8> {
    b"a line of a log\n"
        .iter()
        .copied()
        .cycle()
        .take(len)
        .collect()
}

#[test]
fn any_m_damaged_shards_are_survived_and_one_more_is_refused() {
    let geometry = geometry(4, 2);
    let good = shards(
        geometry,
        &key(),
        &zstd::encode_all(&text(900)[..], 9).unwrap(),
    );
    for damaged in 0..1_u32 << good.len() {
        let mut shards = good.clone();
        for (index, shard) in shards.iter_mut().enumerate() {
            if damaged >> index & 1 == 1 {
                let at = index % shard.len();
                shard[at] ^= 0x10;
            }
        }
        match open(geometry, &shards, PLAIN_LEN_MAX) {
            Ok(plain) => assert!(damaged.count_ones() <= 2 && plain == text(900)),
            Err(ReconstructError::NotOurs { trials: 15 } | ReconstructError::LengthField) => {
                assert!(damaged.count_ones() > 2);
            }
            Err(error) => panic!("{damaged:b}: {error}"),
        }
    }
}

#[test]
fn four_spares_of_twelve_stand_in_for_four_damaged_ones() {
    let geometry = Geometry::default();
    let mut shards = shards(geometry, &key(), b"PK\x03\x04 a zip, for the detector");
    for index in [0, 3, 6, 11] {
        shards[index][2] ^= 1;
    }
    let plain = open(geometry, &shards, PLAIN_LEN_MAX).unwrap();
    assert_eq!(plain, b"PK\x03\x04 a zip, for the detector");
    shards[7][0] ^= 1;
    let refused = open(geometry, &shards, PLAIN_LEN_MAX);
    assert!(matches!(
        refused,
        Err(ReconstructError::NotOurs { trials: 495 })
    ));
}

#[test]
fn cut_shards_are_missing_and_do_not_make_the_others_useless() {
    let geometry = geometry(4, 2);
    let mut shards = shards(geometry, &key(), &text(100));
    shards[1].pop();
    shards[4].push(0);
    assert_eq!(open(geometry, &shards, 100).unwrap(), text(100));
    shards[5].clear();
    let refused = open(geometry, &shards, 100);
    let lengths = ReconstructError::Lengths {
        needed: 4,
        got: 6,
        alike: 3,
    };
    assert_eq!(refused.unwrap_err().to_string(), lengths.to_string());
}

/// Two lengths of which there are enough: the longer one is another object's.
#[test]
fn shards_of_another_length_are_tried_by_themselves() {
    let geometry = geometry(2, 4);
    let mut mixed = shards(geometry, &key(), &text(100));
    let other = shards(geometry, &Key::from_bytes([4; 32]), &text(200));
    mixed[..3].clone_from_slice(&other[..3]);
    assert_eq!(open(geometry, &mixed, 100).unwrap(), text(100));
}

#[test]
fn every_length_and_geometry_comes_back_from_the_last_shards() {
    for (data, parity) in [(1, 0), (1, 1), (2, 1), (3, 2), (8, 4), (32, 16), (128, 128)] {
        let geometry = geometry(data, parity);
        for len in [0, 1, 2, 3, 4, 5, 19, 20, 21, 1000, 5001] {
            let mut shards = shards(geometry, &key(), &text(len));
            shards[..parity.into()].iter_mut().for_each(Vec::clear);
            let opened = open(geometry, &shards, len);
            assert_eq!(opened.unwrap(), text(len), "{geometry}, {len}");
        }
    }
}

#[test]
fn a_plaintext_of_the_limit_is_given_back_and_a_longer_one_is_not() {
    let geometry = geometry(3, 1);
    let plain = text(3_000_000);
    for body in [plain.clone(), zstd::encode_all(&plain[..], 3).unwrap()] {
        let shards = shards(geometry, &key(), &body);
        assert!(open(geometry, &shards, plain.len()).unwrap() == plain);
        let refused = open(geometry, &shards, plain.len() - 1);
        assert!(matches!(
            refused,
            Err(ReconstructError::TooLong { max: 2_999_999 })
        ));
    }
}

/// 4 KiB of frame that stand for 64 MiB.
#[test]
fn a_bomb_is_refused_without_the_room_for_it() {
    let geometry = geometry(3, 1);
    let bomb = zstd::encode_all(io::repeat(0).take(64 << 20), 19).unwrap();
    assert!(bomb.len() < 16 << 10, "{}", bomb.len());
    let refused = open(geometry, &shards(geometry, &key(), &bomb), 1 << 20);
    assert!(matches!(
        refused,
        Err(ReconstructError::TooLong { max: 1_048_576 })
    ));
}

/// Only with compression switched off: such a body is not what the older implementation makes.
#[test]
fn bodies_that_only_begin_like_a_frame_come_back_as_they_are() {
    let geometry = geometry(3, 1);
    let frame = zstd::encode_all(&text(500)[..], 3).unwrap();
    let cut = frame[..frame.len() - 1].to_vec();
    let two = [&frame[..], &frame].concat();
    for body in [cut, two, ZSTD_MAGIC.to_vec()] {
        assert_eq!(
            open(geometry, &shards(geometry, &key(), &body), 500).unwrap(),
            body
        );
    }
}

#[test]
fn a_frame_that_does_not_decompress_is_said_to_be_one() {
    let geometry = geometry(3, 1);
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), 3).unwrap();
    encoder.include_checksum(true).unwrap();
    io::Write::write_all(&mut encoder, &text(500)).unwrap();
    let mut frame = encoder.finish().unwrap();
    *frame.last_mut().unwrap() ^= 1;
    let refused = open(geometry, &shards(geometry, &key(), &frame), 500);
    assert!(
        matches!(refused, Err(ReconstructError::Frame(_))),
        "{refused:?}"
    );
}

#[test]
fn no_more_sets_are_tried_than_the_bound_says() {
    let geometry = geometry(4, 20);
    let shards = shards(geometry, &Key::from_bytes([4; 32]), b"");
    let refused = open(geometry, &shards, 1);
    assert!(matches!(
        refused,
        Err(ReconstructError::GaveUp { trials: TRIALS_MAX })
    ));
}

#[test]
fn the_use_of_the_key_is_told_and_a_labelled_key_is_not_used() {
    let geometry = geometry(2, 1);
    let shards = shards(geometry, &key(), b"x");
    let told = std::sync::Mutex::new(Vec::new());
    let hook = |event: &crate::audit::Event| told.lock().unwrap().push((event.action, event.key));
    let reader = Reader {
        geometry,
        plain_len_max: 1,
        audit: Audit::to(&hook),
    };
    let all: Vec<Option<&[u8]>> = shards.iter().map(|shard| Some(&shard[..])).collect();
    let labelled = key().labelled("production".parse().unwrap());
    let other = Key::from_bytes([4; 32]);
    assert!(reader.reconstruct(&all, &key()).is_ok());
    assert!(reader.reconstruct(&all, &other).is_err());
    let refused = reader.reconstruct(&all, &labelled);
    assert!(matches!(refused, Err(ReconstructError::Label { .. })));
    let expected = [
        (Action::Unwrapped, key().id()),
        (Action::Refused, other.id()),
        (Action::Refused, key().id()),
    ];
    assert_eq!(*told.lock().unwrap(), expected);
}
