//! Types of components, written as WIT writes them.

use std::collections::HashMap;

use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    AliasableResourceId, ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType,
    ComponentFuncType, ComponentItem, ComponentValType, ResourceId,
};
use wasmparser::types::TypesRef;

use crate::text::{Line, TYPE_CHARS_MAX};

/// Names of types that are remembered. WASI has some hundreds; without a name, a type is spelled
/// out.
const NAMES_MAX: usize = 20_000;

/// Parts of one function's types that are looked at before it counts as too large to call.
const PARTS_MAX: u32 = 10_000;

/// The types of one component, with the names that imports and exports give them.
pub(crate) struct Wit<'a> {
    pub(crate) types: TypesRef<'a>,
    names: HashMap<ComponentAnyTypeId, &'a str>,
    resources: HashMap<ResourceId, &'a str>,
}

impl<'a> Wit<'a> {
    pub(crate) fn new(types: TypesRef<'a>) -> Self {
        Self {
            types,
            names: HashMap::new(),
            resources: HashMap::new(),
        }
    }

    /// Takes down the name of a type, or those of the types in an instance.
    pub(crate) fn learn(&mut self, name: &'a str, item: &ComponentItem) {
        match item.ty {
            ComponentEntityType::Type { created, .. } => self.name(name, created),
            ComponentEntityType::Instance(id) => {
                let instance = self.types.get(id).into_iter();
                for (name, item) in instance.flat_map(|instance| &instance.exports) {
                    if let ComponentEntityType::Type { created, .. } = item.ty {
                        self.name(name, created);
                    }
                    if self.names.len() >= NAMES_MAX {
                        return;
                    }
                }
            }
            _ => {}
        }
    }

    fn name(&mut self, name: &'a str, id: ComponentAnyTypeId) {
        if self.names.len() < NAMES_MAX {
            self.names.insert(id, name);
            if let ComponentAnyTypeId::Resource(id) = id {
                self.resources.entry(id.resource()).or_insert(name);
            }
        }
    }

    /// `func(a: s32) -> string`
    pub(crate) fn function(&self, ty: &ComponentFuncType) -> String {
        let mut line = Line::new(TYPE_CHARS_MAX);
        line.push(if ty.async_ { "async func(" } else { "func(" });
        let params = ty.params.iter().map(|(name, ty)| (name.as_str(), *ty));
        self.fields(&mut line, params);
        line.push(")");
        if let Some(result) = ty.result {
            line.push(" -> ");
            self.value(&mut line, result);
        }
        line.finish()
    }

    /// What a named type stands for.
    pub(crate) fn definition(&self, id: ComponentAnyTypeId) -> String {
        let mut line = Line::new(TYPE_CHARS_MAX);
        match id {
            ComponentAnyTypeId::Resource(_) => line.push("resource"),
            ComponentAnyTypeId::Defined(id) => self.defined(&mut line, &self.types[id]),
            ComponentAnyTypeId::Func(id) => return self.function(&self.types[id]),
            ComponentAnyTypeId::Instance(_) => line.push("instance"),
            ComponentAnyTypeId::Component(_) => line.push("component"),
        }
        line.finish()
    }

    /// Whether all arguments and the result have a text form: handles, streams and futures mean
    /// nothing outside.
    pub(crate) fn has_text(&self, ty: &ComponentFuncType) -> bool {
        let mut parts_left = PARTS_MAX;
        let params = ty.params.iter().map(|(_, ty)| *ty);
        let mut values = params.chain(ty.result);
        !ty.async_ && values.all(|ty| self.value_has_text(ty, &mut parts_left))
    }

    /// What stands for an argument on a command line. Texts keep their quotes there, which a shell
    /// would take.
    pub(crate) fn placeholder(&self, name: &str, ty: ComponentValType) -> String {
        let name = name.to_uppercase();
        let primitive = match ty {
            ComponentValType::Primitive(ty) => Some(ty),
            ComponentValType::Type(id) => match self.types[id] {
                ComponentDefinedType::Primitive(ty) => Some(ty),
                _ => None,
            },
        };
        match primitive {
            Some(PrimitiveValType::String) => format!(r#"'"{name}"'"#),
            Some(PrimitiveValType::Char) => format!(r#""'{name}'""#),
            _ => name,
        }
    }

    fn value_has_text(&self, ty: ComponentValType, parts_left: &mut u32) -> bool {
        let Some(left) = parts_left.checked_sub(1) else {
            return false;
        };
        *parts_left = left;
        let id = match ty {
            ComponentValType::Primitive(ty) => return ty != PrimitiveValType::ErrorContext,
            ComponentValType::Type(id) => id,
        };
        let mut has_text = |ty: ComponentValType| self.value_has_text(ty, parts_left);
        match &self.types[id] {
            ComponentDefinedType::Primitive(ty) => has_text(ComponentValType::Primitive(*ty)),
            ComponentDefinedType::Record(ty) => ty.fields.values().all(|ty| has_text(*ty)),
            ComponentDefinedType::Variant(ty) => {
                let mut cases = ty.cases.values().filter_map(|case| case.ty);
                cases.all(has_text)
            }
            ComponentDefinedType::Tuple(ty) => ty.types.iter().all(|ty| has_text(*ty)),
            ComponentDefinedType::List { element: ty, .. }
            | ComponentDefinedType::Option { ty, .. } => has_text(*ty),
            ComponentDefinedType::Result { ok, err, .. } => {
                ok.iter().chain(err).all(|ty| has_text(*ty))
            }
            ComponentDefinedType::Flags(_) | ComponentDefinedType::Enum(_) => true,
            ComponentDefinedType::Own(_)
            | ComponentDefinedType::Borrow(_)
            | ComponentDefinedType::FixedLengthList { .. }
            | ComponentDefinedType::Map { .. }
            | ComponentDefinedType::Future { .. }
            | ComponentDefinedType::Stream { .. } => false,
        }
    }

    fn value(&self, line: &mut Line, ty: ComponentValType) {
        // A type may contain another one twice, and that another one twice. Every level writes
        // something, so that a full line ends it all.
        if line.is_full() {
            return;
        }
        match ty {
            ComponentValType::Primitive(ty) => line.push(&ty.to_string()),
            ComponentValType::Type(id) => match self.names.get(&id.into()) {
                Some(name) => line.push(name),
                None => self.defined(line, &self.types[id]),
            },
        }
    }

    fn defined(&self, line: &mut Line, ty: &ComponentDefinedType) {
        match ty {
            ComponentDefinedType::Primitive(ty) => line.push(&ty.to_string()),
            ComponentDefinedType::Record(ty) => {
                line.push("record { ");
                let fields = ty.fields.iter().map(|(name, ty)| (name.as_str(), *ty));
                self.fields(line, fields);
                line.push(" }");
            }
            ComponentDefinedType::Variant(ty) => {
                line.push("variant { ");
                let cases = ty.cases.iter().map(|(name, case)| (name.as_str(), case.ty));
                self.cases(line, cases);
                line.push(" }");
            }
            ComponentDefinedType::Flags(names) => {
                line.push("flags { ");
                self.cases(line, names.iter().map(|name| (name.as_str(), None)));
                line.push(" }");
            }
            ComponentDefinedType::Enum(names) => {
                line.push("enum { ");
                self.cases(line, names.iter().map(|name| (name.as_str(), None)));
                line.push(" }");
            }
            ComponentDefinedType::FixedLengthList {
                element, length, ..
            } => {
                line.push("list<");
                self.value(line, *element);
                line.push(&format!(", {length}>"));
            }
            ComponentDefinedType::Own(id) => line.push(self.resource(*id)),
            ComponentDefinedType::Borrow(id) => {
                line.push("borrow<");
                line.push(self.resource(*id));
                line.push(">");
            }
            other => self.generic(line, other),
        }
    }

    /// Types with parameters in angle brackets.
    fn generic(&self, line: &mut Line, ty: &ComponentDefinedType) {
        match ty {
            ComponentDefinedType::List { element, .. } => self.angle(line, "list", &[*element]),
            ComponentDefinedType::Map { key, value, .. } => {
                self.angle(line, "map", &[*key, *value]);
            }
            ComponentDefinedType::Option { ty, .. } => self.angle(line, "option", &[*ty]),
            ComponentDefinedType::Tuple(ty) => self.angle(line, "tuple", &ty.types),
            ComponentDefinedType::Future { ty, .. } => self.angle(line, "future", ty.as_slice()),
            ComponentDefinedType::Stream { ty, .. } => self.angle(line, "stream", ty.as_slice()),
            ComponentDefinedType::Result { ok, err, .. } => match (ok, err) {
                (None, Some(err)) => {
                    line.push("result<_, ");
                    self.value(line, *err);
                    line.push(">");
                }
                (None, None) => line.push("result"),
                (Some(ok), None) => self.angle(line, "result", &[*ok]),
                (Some(ok), Some(err)) => self.angle(line, "result", &[*ok, *err]),
            },
            _ => {}
        }
    }

    fn angle(&self, line: &mut Line, word: &str, params: &[ComponentValType]) {
        line.push(word);
        if params.is_empty() {
            return;
        }
        line.push("<");
        for (index, ty) in params.iter().enumerate() {
            separate(line, index);
            self.value(line, *ty);
            if line.is_full() {
                return;
            }
        }
        line.push(">");
    }

    /// `a: s32, b: string`
    fn fields<'n>(
        &self,
        line: &mut Line,
        fields: impl Iterator<Item = (&'n str, ComponentValType)>,
    ) {
        for (index, (name, ty)) in fields.enumerate() {
            separate(line, index);
            line.push(name);
            line.push(": ");
            self.value(line, ty);
            if line.is_full() {
                return;
            }
        }
    }

    /// `a, b(string)`
    fn cases<'n>(
        &self,
        line: &mut Line,
        cases: impl Iterator<Item = (&'n str, Option<ComponentValType>)>,
    ) {
        for (index, (name, ty)) in cases.enumerate() {
            separate(line, index);
            line.push(name);
            if let Some(ty) = ty {
                line.push("(");
                self.value(line, ty);
                line.push(")");
            }
            if line.is_full() {
                return;
            }
        }
    }

    fn resource(&self, id: AliasableResourceId) -> &'a str {
        let named = self.names.get(&ComponentAnyTypeId::Resource(id));
        let named = named.or_else(|| self.resources.get(&id.resource()));
        named.copied().unwrap_or("resource")
    }
}

fn separate(line: &mut Line, index: usize) {
    if index > 0 {
        line.push(", ");
    }
}
