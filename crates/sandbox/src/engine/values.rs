//! Wasmtime's numbers as ours, which have a text form.

use wasmtime::{FuncType, Val, ValType};

use crate::numbers::{Number, NumberType, Signature};

pub(super) fn signature(ty: &FuncType) -> Signature {
    Signature {
        params: ty.params().map(|ty| number_type(&ty)).collect(),
        results: ty.results().map(|ty| number_type(&ty)).collect(),
    }
}

fn number_type(ty: &ValType) -> Option<NumberType> {
    match ty {
        ValType::I32 => Some(NumberType::I32),
        ValType::I64 => Some(NumberType::I64),
        ValType::F32 => Some(NumberType::F32),
        ValType::F64 => Some(NumberType::F64),
        ValType::V128 | ValType::Ref(_) => None,
    }
}

pub(super) fn value(number: Number) -> Val {
    match number {
        Number::I32(number) => Val::I32(number),
        Number::I64(number) => Val::I64(number),
        Number::F32(bits) => Val::F32(bits),
        Number::F64(bits) => Val::F64(bits),
    }
}

pub(super) fn number(value: &Val) -> Number {
    match *value {
        Val::I32(number) => Number::I32(number),
        Val::I64(number) => Number::I64(number),
        Val::F32(bits) => Number::F32(bits),
        Val::F64(bits) => Number::F64(bits),
        _ => unreachable!("a call is resolved only if all results have a text form"),
    }
}
