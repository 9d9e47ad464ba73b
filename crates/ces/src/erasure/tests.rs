//! The code against its definition, against another library, and each kernel against the others.

use super::field::coefficients;
use super::product::{BLOCK_LEN, Kernel, Product};
use super::simd::Simd;
use super::{Code, CodeError};
use crate::geometry::{Geometry, PIECES_EACH_MAX};

/// Random input, from a seed that is printed: `cargo test` shows it when a test fails.
fn random() -> fastrand::Rng {
    let seed = fastrand::u64(..);
    println!("seed {seed:#x}");
    fastrand::Rng::with_seed(seed)
}

fn bytes(random: &mut fastrand::Rng, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    random.fill(&mut bytes);
    bytes
}

fn code(data: u8, parity: u8) -> Code {
    Code::new(Geometry::new(data, parity).unwrap())
}

/// All pieces of `data`, which are `piece_len` bytes long.
fn pieces(code: &Code, data: &[u8], piece_len: usize) -> Vec<Vec<u8>> {
    let mut parity = vec![0; usize::from(code.geometry.parity()) * piece_len];
    code.encode(data, &mut parity, piece_len).unwrap();
    let all = [data, &parity].concat();
    all.chunks(piece_len).map(<[u8]>::to_vec).collect()
}

/// Rebuilds all pieces from those with the indices `present`.
#[track_caller]
fn check_rebuilt(code: &Code, pieces: &[Vec<u8>], present: &[usize]) {
    let present: Vec<_> = present.iter().map(|&i| (i, &*pieces[i])).collect();
    let wanted: Vec<usize> = (0..pieces.len()).collect();
    let mut rebuilt = vec![vec![0; pieces[0].len()]; pieces.len()];
    let mut out: Vec<&mut [u8]> = rebuilt.iter_mut().map(|piece| &mut piece[..]).collect();
    code.rebuild(&present, &wanted, &mut out).unwrap();
    assert!(rebuilt == pieces, "from {:?}", indices(&present));
}

fn indices(present: &[(usize, &[u8])]) -> Vec<usize> {
    present.iter().map(|&(index, _)| index).collect()
}

/// The definition, step by step: Vandermonde, Gauss–Jordan, the product of two matrices.
mod definition {
    fn times(mut a: u8, mut b: u8) -> u8 {
        let mut sum = 0;
        while b != 0 {
            if b & 1 == 1 {
                sum ^= a;
            }
            a = (a << 1) ^ if a & 0x80 == 0 { 0 } else { 0x1d };
            b >>= 1;
        }
        sum
    }

    fn vandermonde(rows: usize, columns: usize) -> Vec<Vec<u8>> {
        let row = |r: usize| {
            let powers =
                std::iter::successors(Some(1), move |p| Some(times(*p, u8::try_from(r).unwrap())));
            powers.take(columns).collect()
        };
        (0..rows).map(row).collect()
    }

    fn inverse(mut matrix: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let size = matrix.len();
        for (r, row) in matrix.iter_mut().enumerate() {
            row.extend((0..size).map(|c| u8::from(c == r)));
        }
        for c in 0..size {
            let pivot = (c..size).find(|r| matrix[*r][c] != 0).unwrap();
            matrix.swap(c, pivot);
            let by = (1..=255).find(|by| times(*by, matrix[c][c]) == 1).unwrap();
            matrix[c]
                .iter_mut()
                .for_each(|cell| *cell = times(*cell, by));
            let pivot = matrix[c].clone();
            for (_, row) in matrix.iter_mut().enumerate().filter(|(r, _)| *r != c) {
                let by = row[c];
                let cells = row.iter_mut().zip(&pivot);
                cells.for_each(|(cell, pivot)| *cell ^= times(by, *pivot));
            }
        }
        matrix.into_iter().map(|row| row[size..].to_vec()).collect()
    }

    /// `V · (V[0..k])⁻¹`
    pub(super) fn coding_matrix(data: usize, parity: usize) -> Vec<Vec<u8>> {
        let left = vandermonde(data + parity, data);
        let right = inverse(left[..data].to_vec());
        let cell = |row: &[u8], c: usize| {
            let products = row.iter().zip(&right).map(|(a, row)| times(*a, row[c]));
            products.fold(0, |sum, product| sum ^ product)
        };
        let row = |row: &Vec<u8>| (0..data).map(|c| cell(row, c)).collect();
        left.iter().map(row).collect()
    }
}

#[test]
fn interpolating_gives_the_coding_matrix_of_the_format() {
    for (data, parity) in [
        (1, 0),
        (1, 1),
        (1, 128),
        (2, 1),
        (3, 3),
        (4, 2),
        (8, 4),
        (10, 4),
        (17, 3),
        (32, 16),
        (128, 0),
        (128, 1),
        (128, 128),
    ] {
        let matrix = definition::coding_matrix(data.into(), parity.into());
        let known: Vec<u8> = (0..data).collect();
        let all: Vec<u8> = (0..=data - 1 + parity).collect();
        assert!(
            coefficients(&known, &all) == matrix.concat(),
            "{data}+{parity}"
        );
    }
}

/// Parity that `reed-solomon-erasure` 6.0.0 computes, the library of the older implementation, where
/// data piece `i` is the byte `37 i + 11`.
#[test]
fn parity_is_bit_for_bit_that_of_the_older_implementation() {
    for (data, parity, expected) in [
        (1, 2, "0b0b"),
        (2, 1, "7d"),
        (4, 2, "1a59"),
        (8, 4, "e54daa93"),
        (10, 4, "e71de83b"),
        (16, 2, "984a"),
        (32, 16, "24f66dc5b0c4b6f415fed85a11d15a97"),
        (
            128,
            128,
            "17161f8b9edcc2535bd87dadc02b63810a49383d5f17dffaed98638401a9f9564d150ffad12ff3a2\
             a40130ee249de1bf499a2f8558d07ccc30ce28e295ce8ef57e7967e74e0e384fa9661de122dccba6\
             ab4033065bebcc33d7cb263c91eebd7a086ba7383c5feaf40f21c59345aa9b501537646b02af75c1\
             0da8e8b6b9e5e870",
        ),
    ] {
        let bytes: Vec<u8> = (0..data)
            .map(|i: u8| i.wrapping_mul(37).wrapping_add(11))
            .collect();
        let pieces = pieces(&code(data, parity), &bytes, 1);
        let parity = data_encoding::HEXLOWER.encode(&pieces[data.into()..].concat());
        assert_eq!(parity, expected, "{data}+{}", parity.len() / 2);
    }
}

#[test]
fn every_kernel_computes_the_same_bits_at_every_length_and_alignment() {
    let mut random = random();
    let kernels: Vec<Kernel> = Kernel::found().collect();
    println!("{kernels:?}");
    assert_eq!(kernels.last(), Some(&Kernel::Portable));
    for round in 0..400 {
        // Every length around the steps first, then longer ones of more than one block.
        let len = if round < 350 {
            round
        } else {
            random.usize(..20_000)
        };
        let (inputs, outputs) = (random.usize(1..12), random.usize(1..12));
        let rows = bytes(&mut random, inputs * outputs);
        let pieces: Vec<Vec<u8>> = (0..inputs).map(|_| bytes(&mut random, len + 64)).collect();
        let input = |piece: &Vec<u8>, at: usize| piece[at..at + len].to_vec();
        let starts: Vec<usize> = pieces.iter().map(|_| random.usize(..=64)).collect();
        let expected = by_definition(&rows, &pieces, &starts, len);
        for kernel in &kernels {
            let inputs: Vec<&[u8]> = pieces
                .iter()
                .zip(&starts)
                .map(|(piece, start)| &piece[*start..*start + len])
                .collect();
            let mut buffers = vec![vec![0xa5; len + 128]; outputs];
            let start = random.usize(..=64);
            let mut out: Vec<&mut [u8]> = buffers
                .iter_mut()
                .map(|buffer| &mut buffer[start..start + len])
                .collect();
            Product::new(*kernel, &rows, inputs.len()).apply(&inputs, &mut out);
            for (buffer, expected) in buffers.iter().zip(&expected) {
                let at = format!("{kernel:?}, {len} bytes at {start}");
                assert!(input(buffer, start) == *expected, "{at}");
                let around = buffer[..start].iter().chain(&buffer[start + len..]);
                assert!(around.eq(vec![&0xa5; 128]), "written outside: {at}");
            }
        }
    }
}

/// Each output byte as the sum of products, one by one.
fn by_definition(rows: &[u8], pieces: &[Vec<u8>], starts: &[usize], len: usize) -> Vec<Vec<u8>> {
    let rows = rows.chunks(pieces.len());
    rows.map(|row| {
        let mut sums = vec![0; len];
        for ((&coefficient, piece), &start) in row.iter().zip(pieces).zip(starts) {
            for (sum, &byte) in sums.iter_mut().zip(&piece[start..]) {
                *sum ^= super::field::multiply(coefficient, byte);
            }
        }
        sums
    })
    .collect()
}

#[test]
fn any_k_pieces_give_all_others_in_every_small_geometry() {
    let mut random = random();
    for data in 1..=6 {
        for parity in 0..=4 {
            let code = code(data, parity);
            let piece_len = random.usize(1..40);
            let input = bytes(&mut random, usize::from(data) * piece_len);
            let pieces = pieces(&code, &input, piece_len);
            for set in 0..1_u32 << pieces.len() {
                let present: Vec<usize> = (0..pieces.len()).filter(|i| set >> i & 1 == 1).collect();
                if present.len() == usize::from(data) {
                    check_rebuilt(&code, &pieces, &present);
                }
            }
        }
    }
}

#[test]
fn any_k_pieces_give_all_others_in_large_geometries() {
    let mut random = random();
    for (data, parity) in [(8, 4), (1, 128), (128, 1), (128, 128), (100, 28), (32, 16)] {
        let code = code(data, parity);
        let piece_len = random.usize(1..700);
        let input = bytes(&mut random, usize::from(data) * piece_len);
        let pieces = pieces(&code, &input, piece_len);
        let mut order: Vec<usize> = (0..pieces.len()).collect();
        for _ in 0..6 {
            random.shuffle(&mut order);
            check_rebuilt(&code, &pieces, &order[..data.into()]);
        }
        order.sort_unstable();
        check_rebuilt(&code, &pieces, &order[usize::from(parity)..]);
    }
}

#[test]
fn every_kernel_codes_and_rebuilds_alike() {
    let mut random = random();
    for (data, parity, piece_len) in [(8, 4, 131_072), (8, 4, 131_074), (5, 9, 4_097), (3, 2, 7)] {
        let input = bytes(&mut random, usize::from(data) * piece_len);
        let geometry = Geometry::new(data, parity).unwrap();
        let expected = pieces(
            &Code::with_kernel(geometry, Kernel::Portable),
            &input,
            piece_len,
        );
        for kernel in Kernel::found() {
            let code = Code::with_kernel(geometry, kernel);
            assert!(pieces(&code, &input, piece_len) == expected, "{kernel:?}");
            let last: Vec<usize> = (usize::from(parity)..expected.len()).collect();
            check_rebuilt(&code, &expected, &last);
        }
    }
}

/// Otherwise the largest geometry would be left to the portable kernel, without anybody noticing.
#[test]
fn a_block_of_the_most_inputs_takes_every_kernel_s_step() {
    for simd in Simd::found() {
        assert!(
            simd.len_min() <= BLOCK_LEN / usize::from(PIECES_EACH_MAX),
            "{simd:?}"
        );
    }
}

#[test]
fn pieces_without_a_byte_and_codes_without_parity_are_nothing_special() {
    let empty = code(8, 4);
    empty.encode(&[], &mut [], 0).unwrap();
    let present: Vec<(usize, &[u8])> = (4..12).map(|i| (i, &[][..])).collect();
    empty.rebuild(&present, &[0], &mut [&mut []]).unwrap();
    let whole = code(1, 0);
    whole.encode(b"abc", &mut [], 3).unwrap();
    check_rebuilt(&whole, &[b"abc".to_vec()], &[0]);
    whole.rebuild(&[(0, b"abc")], &[], &mut []).unwrap();
}

/// The cache holds the last set, and a set is its order too.
#[test]
fn another_set_or_order_of_pieces_is_not_taken_for_the_last_one() {
    let mut random = random();
    let code = code(4, 4);
    let input = bytes(&mut random, 4 * 300);
    let pieces = pieces(&code, &input, 300);
    for present in [[4, 5, 6, 7], [7, 6, 5, 4], [4, 5, 6, 7], [0, 1, 2, 7]] {
        check_rebuilt(&code, &pieces, &present);
    }
    let present: Vec<_> = (4..8).map(|i| (i, &*pieces[i])).collect();
    for wanted in [0, 1, 0] {
        let mut out = [0; 300];
        code.rebuild(&present, &[wanted], &mut [&mut out]).unwrap();
        assert!(out == *pieces[wanted], "{wanted}");
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let code = code(2, 1);
    let fits = |data: &[u8], parity: &mut [u8], len| code.encode(data, parity, len);
    let wrong = |pieces, piece_len, got| CodeError::BufferLen {
        pieces,
        piece_len,
        got,
    };
    assert_eq!(fits(&[0; 5], &mut [0; 3], 3), Err(wrong(2, 3, 5)));
    assert_eq!(fits(&[0; 6], &mut [0; 4], 3), Err(wrong(1, 3, 4)));
    assert_eq!(fits(&[0; 2], &mut [], 0), Err(wrong(2, 0, 2)));
    assert_eq!(fits(&[], &mut [], usize::MAX), Err(wrong(2, usize::MAX, 0)));

    let check = |present: &[(usize, &[u8])], wanted: &[usize], expected: CodeError| {
        let mut out = [0; 1];
        assert_eq!(
            code.rebuild(present, wanted, &mut [&mut out]),
            Err(expected)
        );
    };
    let (a, b, long) = ((0, &[1][..]), (1, &[2][..]), (1, &[2, 2][..]));
    let parity = (2, &[3][..]);
    check(&[a], &[1], CodeError::Count { needed: 2, got: 1 });
    check(
        &[a, b, parity],
        &[1],
        CodeError::Count { needed: 2, got: 3 },
    );
    check(&[a, a], &[1], CodeError::Twice { index: 0 });
    check(
        &[a, (3, &[1])],
        &[1],
        CodeError::Index {
            index: 3,
            pieces: 3,
        },
    );
    check(
        &[a, b],
        &[3],
        CodeError::Index {
            index: 3,
            pieces: 3,
        },
    );
    let buffers = |wanted| CodeError::Buffers { wanted, buffers: 1 };
    check(&[a, b], &[], buffers(0));
    check(&[a, b], &[2, 2], buffers(2));
    let piece_len = |index, expected, got| CodeError::PieceLen {
        index,
        expected,
        got,
    };
    check(&[a, long], &[2], piece_len(1, 1, 2));
    check(&[long, (2, &[2, 2])], &[0], piece_len(0, 2, 1));
}
