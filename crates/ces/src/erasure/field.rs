//! GF(2⁸) with the polynomial x⁸ + x⁴ + x³ + x² + 1, and the coefficients of the code.
//!
//! The coding matrix `V · (V[0..k])⁻¹` of the format evaluates, at the point `i`, the polynomial of
//! degree below `k` whose values at the points `0..k` are the data. So piece `i` is the value at `i`,
//! and any `k` pieces determine the polynomial: encoding and rebuilding are one and the same Lagrange
//! interpolation, and no matrix is ever inverted.

/// The polynomial without x⁸: what doubling adds when a bit leaves at the top.
pub(super) const REDUCTION: u8 = 0x1d;

/// Nonzero elements; the powers of two run through all of them.
const ORDER: usize = 255;

/// Powers of two, twice over, so that a sum of two logarithms needs no remainder.
const POWERS: [u8; 2 * ORDER] = powers();

/// The logarithm of each element to the base two; that of zero is not used.
const LOGARITHMS: [u8; 256] = logarithms();

const fn powers() -> [u8; 2 * ORDER] {
    let mut powers = [0; 2 * ORDER];
    let mut power = 1;
    let mut exponent = 0;
    while exponent < ORDER {
        powers[exponent] = power;
        powers[exponent + ORDER] = power;
        power = double(power);
        exponent += 1;
    }
    powers
}

const fn logarithms() -> [u8; 256] {
    let mut logarithms = [0; 256];
    let mut exponent: u8 = 0;
    while (exponent as usize) < ORDER {
        logarithms[POWERS[exponent as usize] as usize] = exponent;
        exponent += 1;
    }
    logarithms
}

const fn double(a: u8) -> u8 {
    (a << 1) ^ ((a >> 7) * REDUCTION)
}

pub(super) const fn multiply(a: u8, b: u8) -> u8 {
    if a == 0 || b == 0 {
        return 0;
    }
    POWERS[LOGARITHMS[a as usize] as usize + LOGARITHMS[b as usize] as usize]
}

/// `a / b`, for a `b` that is not zero.
fn divide(a: u8, b: u8) -> u8 {
    debug_assert_ne!(b, 0, "nothing is divided by zero");
    if a == 0 {
        return 0;
    }
    let exponent = ORDER + usize::from(LOGARITHMS[usize::from(a)]);
    POWERS[exponent - usize::from(LOGARITHMS[usize::from(b)])]
}

/// What each of the pieces `known` contributes to each of the pieces `wanted`, a row for each of
/// the latter.
///
/// Row `w` has the values at `w` of the Lagrange polynomials of the points `known`, which are
/// distinct. In this field `a − b` is `a ⊕ b`.
pub(super) fn coefficients(known: &[u8], wanted: &[u8]) -> Vec<u8> {
    let distances = |from: u8| known.iter().map(move |at| from ^ at);
    let product = |factors: &mut dyn Iterator<Item = u8>| factors.fold(1, multiply);
    let weights: Vec<u8> = known
        .iter()
        .map(|&at| product(&mut distances(at).filter(|&distance| distance != 0)))
        .collect();
    let mut rows = Vec::with_capacity(known.len() * wanted.len());
    for &at in wanted {
        let whole = product(&mut distances(at));
        rows.extend(
            known
                .iter()
                .zip(&weights)
                .map(|(&point, &weight)| match at ^ point {
                    0 => 1,
                    distance => divide(whole, multiply(distance, weight)),
                }),
        );
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition: carry-less multiplication, reduced bit by bit.
    fn by_hand(mut a: u8, mut b: u8) -> u8 {
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

    #[test]
    fn every_product_is_the_definition_s_and_every_quotient_undoes_it() {
        for a in 0..=255 {
            for b in 0..=255 {
                let product = multiply(a, b);
                assert_eq!(product, by_hand(a, b), "{a} · {b}");
                if b != 0 {
                    assert_eq!(divide(product, b), a, "{product} / {b}");
                }
            }
        }
    }

    #[test]
    fn a_known_piece_contributes_all_of_itself() {
        assert_eq!(coefficients(&[7, 0, 200], &[0]), [0, 1, 0]);
    }

    #[test]
    fn one_piece_is_every_other_of_a_code_with_one_data_piece() {
        assert_eq!(coefficients(&[9], &[0, 1, 128]), [1, 1, 1]);
    }
}
