//! WebAssembly numbers as text, whatever engine computes with them.

use std::fmt::{self, Write as _};

use crate::excerpt::excerpt;
use crate::runtime::RunError;

/// A type whose values have a text form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NumberType {
    I32,
    I64,
    F32,
    F64,
}

/// A value that has a text form. Floats are their bits, so that a NaN stays the NaN that it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Number {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
}

/// The type of a function: a parameter or result without a text form is `None`.
pub(crate) struct Signature {
    pub(crate) params: Vec<Option<NumberType>>,
    pub(crate) results: Vec<Option<NumberType>>,
}

impl Signature {
    pub(crate) fn takes_and_gives_nothing(&self) -> bool {
        self.params.is_empty() && self.results.is_empty()
    }

    /// Whether it takes these and gives this.
    pub(crate) fn is(&self, params: &[NumberType], result: NumberType) -> bool {
        let params = params.iter().copied().map(Some);
        self.params.iter().copied().eq(params) && self.results == [Some(result)]
    }

    /// The arguments of a call of `function`, as values of its engine; `spelled` is how that writes
    /// this signature.
    pub(crate) fn arguments<V>(
        &self,
        function: &str,
        spelled: &dyn fmt::Display,
        args: &[String],
        value: impl Fn(Number) -> V,
    ) -> Result<Vec<V>, RunError> {
        if !self.params.iter().chain(&self.results).all(Option::is_some) {
            return Err(RunError::UnsupportedSignature {
                function: excerpt(function),
                signature: excerpt(&spelled.to_string()),
                text_forms: "only i32, i64, f32 and f64 have a text form",
            });
        }
        let params = self.params.iter().flatten();
        if self.params.len() != args.len() {
            return Err(RunError::ArgumentCount {
                function: excerpt(function),
                expected: params.map(ToString::to_string).collect(),
                got: args.len(),
            });
        }
        let args = params.zip(args).enumerate();
        args.map(|(index, (ty, arg))| {
            let number = ty.parse(arg).ok_or_else(|| RunError::ArgumentType {
                index,
                expected: ty.to_string(),
                got: excerpt(arg),
            });
            number.map(&value)
        })
        .collect()
    }
}

impl NumberType {
    /// Reads a value of this type. WebAssembly integers have no sign, so both readings are accepted:
    /// `-1` and `4294967295` are the same `i32`.
    pub(crate) fn parse(self, text: &str) -> Option<Number> {
        match self {
            Self::I32 => {
                let signed = text.parse::<i32>();
                let either = signed.or_else(|_| text.parse::<u32>().map(u32::cast_signed));
                either.ok().map(Number::I32)
            }
            Self::I64 => {
                let signed = text.parse::<i64>();
                let either = signed.or_else(|_| text.parse::<u64>().map(u64::cast_signed));
                either.ok().map(Number::I64)
            }
            Self::F32 => text.parse().ok().map(f32::to_bits).map(Number::F32),
            Self::F64 => text.parse().ok().map(f64::to_bits).map(Number::F64),
        }
    }
}

impl fmt::Display for NumberType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::I32 => "i32",
            Self::I64 => "i64",
            Self::F32 => "f32",
            Self::F64 => "f64",
        })
    }
}

impl fmt::Display for Number {
    /// Integers are signed; floats are the shortest text that reads back as the same number.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::I32(number) => write!(f, "{number}"),
            Self::I64(number) => write!(f, "{number}"),
            Self::F32(bits) => write!(f, "{}", f32::from_bits(bits)),
            Self::F64(bits) => write!(f, "{}", f64::from_bits(bits)),
        }
    }
}

/// Writes the results of a function; `None` if it has none.
pub(crate) fn render(numbers: impl IntoIterator<Item = Number>) -> Option<String> {
    let mut numbers = numbers.into_iter();
    let mut text = numbers.next()?.to_string();
    for number in numbers {
        write!(text, " {number}").expect("text takes more text");
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::NumberType::{F32, F64, I32, I64};
    use super::*;

    fn check(ty: NumberType, text: &str, expected: Option<&str>) {
        let number = ty.parse(text);
        let rendered = number.and_then(|number| render([number]));
        assert_eq!(rendered.as_deref(), expected, "{ty} {text:?}");
    }

    #[test]
    fn integers_are_read_with_and_without_sign() {
        check(I32, "-1", Some("-1"));
        check(I32, "4294967295", Some("-1"));
        check(I32, "4294967296", None);
        check(I64, "18446744073709551615", Some("-1"));
        check(I64, "-9223372036854775808", Some("-9223372036854775808"));
        check(I64, "18446744073709551616", None);
        check(I64, "1.0", None);
        check(I32, "", None);
    }

    #[test]
    fn floats_are_written_as_short_as_they_can_be_read_back() {
        check(F64, "0.1", Some("0.1"));
        check(F32, "0.1", Some("0.1"));
        check(F64, "1.0", Some("1"));
        check(F64, "-0.0", Some("-0"));
        check(F64, "1e3", Some("1000"));
        check(F64, "inf", Some("inf"));
        check(F64, "nan", Some("NaN"));
        check(F64, "ten", None);
    }

    #[test]
    fn what_has_no_text_cannot_be_asked_for() {
        let vector = Signature {
            params: vec![],
            results: vec![None],
        };
        let refused = vector.arguments("f", &"(func (result v128))", &[], |number| number);
        assert!(matches!(
            refused,
            Err(RunError::UnsupportedSignature { .. })
        ));
    }

    #[test]
    fn several_results_are_joined_by_a_space() {
        let numbers = [
            Number::I32(1),
            Number::I64(-2),
            Number::F32(0.5_f32.to_bits()),
        ];
        assert_eq!(render(numbers).as_deref(), Some("1 -2 0.5"));
        assert_eq!(render([]), None);
    }
}
