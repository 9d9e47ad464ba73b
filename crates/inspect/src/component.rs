//! Components: imported and exported functions and interfaces.

use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentFuncType, ComponentItem,
};
use wasmparser::types::TypesRef;

use crate::check::Checked;
use crate::preview2::{self, INCOMING, INCOMING_P3, RUN};
use crate::report::{Export, Found, Import, Imports, ItemKind, Listed, Role};
use crate::text::name;
use crate::verdict::{Call, Suggestion};
use crate::wit::Wit;

/// What is in a checked component.
pub(crate) fn read(checked: &Checked<'_>) -> Found {
    let types = checked.types.as_ref();
    let imports = items(&checked.imports, |name| {
        types.component_item_for_import(name)
    });
    let exports = items(&checked.exports, |name| {
        types.component_item_for_export(name)
    });
    let mut wit = Wit::new(types);
    for (name, item) in imports.iter().chain(&exports) {
        wit.learn(name, item);
    }
    let imports = read_imports(&wit, &imports);
    let exports = read_exports(&wit, &exports);
    let (role, interface) = exports.role.unwrap_or((Role::Library, ""));
    let call = match role {
        Role::Command => Some(Call::Command),
        Role::Service => Some(Call::Service),
        _ => exports.suggestion.call(),
    };
    let version = preview2::split(interface).1;
    let versioned = matches!(role, Role::Command | Role::Service);
    let other_version = versioned && !preview2::is_supported(version);
    Found {
        role,
        chunked: false,
        imports: imports.listed,
        exports: exports.listed,
        needs: imports.needs.into_vec(),
        missing: imports.missing,
        call,
        other_version: other_version.then(|| name(interface)),
    }
}

type Items<'a> = Vec<(&'a str, &'a ComponentItem)>;

fn items<'a>(names: &[&'a str], item: impl Fn(&'a str) -> Option<&'a ComponentItem>) -> Items<'a> {
    let items = names.iter().map(|name| Some((*name, item(name)?)));
    items.flatten().collect()
}

fn read_imports(wit: &Wit<'_>, items: &Items<'_>) -> Imports {
    let mut imports = Imports::default();
    for (import, item) in items {
        let (capabilities, linked) = preview2::interface(import);
        for capability in capabilities {
            imports.needs.add(*capability, &name(import));
        }
        let offered = linked || needs_nothing(wit.types, &item.ty);
        if !offered {
            imports.missing.add(|| name(import));
        }
        let mut functions = functions(wit.types, &item.ty).peekable();
        if functions.peek().is_none() {
            imports.listed.add(|| Import {
                from: None,
                name: name(import),
                kind: kind(&item.ty),
                ty: type_text(wit, &item.ty),
                offered,
            });
        }
        for (function, ty) in functions {
            imports.listed.add(|| Import {
                from: Some(name(import)),
                name: name(function),
                kind: ItemKind::Function,
                ty: wit.function(ty),
                offered,
            });
        }
    }
    imports
}

/// Whether an import can be left open: a name for a type, or an interface of nothing else.
fn needs_nothing(types: TypesRef<'_>, ty: &ComponentEntityType) -> bool {
    let is_plain_type = |ty: &ComponentEntityType| match ty {
        ComponentEntityType::Type { created, .. } => {
            matches!(created, ComponentAnyTypeId::Defined(_))
        }
        _ => false,
    };
    match ty {
        ComponentEntityType::Instance(id) => {
            let exports = &types[*id].exports;
            exports.values().all(|item| is_plain_type(&item.ty))
        }
        other => is_plain_type(other),
    }
}

/// The exports while they are being read.
#[derive(Default)]
struct Exports<'a> {
    listed: Listed<Export>,
    suggestion: Suggestion,
    /// The role that an exported interface gives, and that interface.
    role: Option<(Role, &'a str)>,
}

fn read_exports<'a>(wit: &Wit<'_>, items: &Items<'a>) -> Exports<'a> {
    let mut exports = Exports::default();
    for (export, item) in items {
        match item.ty {
            ComponentEntityType::Instance(id) => {
                exports.see(export);
                for (inner, item) in &wit.types[id].exports {
                    exports.add(wit, || format!("{export}#{inner}"), item);
                }
            }
            _ => exports.add(wit, || (*export).to_owned(), item),
        }
    }
    exports
}

impl<'a> Exports<'a> {
    /// Notes what an exported interface makes of the component. A command is one first of all.
    fn see(&mut self, interface: &'a str) {
        match preview2::split(interface).0 {
            RUN => self.role = Some((Role::Command, interface)),
            INCOMING | INCOMING_P3 => {
                self.role.get_or_insert((Role::Service, interface));
            }
            _ => {}
        }
    }

    fn add(&mut self, wit: &Wit<'_>, full_name: impl FnOnce() -> String, item: &ComponentItem) {
        self.listed.add(|| {
            let export = full_name();
            let function = function(wit.types, &item.ty).filter(|ty| wit.has_text(ty));
            if let Some(ty) = function {
                let params = ty.params.iter();
                let params = params.map(|(name, ty)| wit.placeholder(name, *ty));
                self.suggestion.offer(&export, params);
            }
            Export {
                name: name(&export),
                kind: kind(&item.ty),
                ty: type_text(wit, &item.ty),
                callable: function.is_some(),
            }
        });
    }
}

/// The functions of an instance; what is none has none.
fn functions<'a>(
    types: TypesRef<'a>,
    ty: &ComponentEntityType,
) -> impl Iterator<Item = (&'a str, &'a ComponentFuncType)> {
    let instance = match ty {
        ComponentEntityType::Instance(id) => types.get(*id),
        _ => None,
    };
    let exports = instance.into_iter().flat_map(|instance| &instance.exports);
    exports.filter_map(move |(name, item)| Some((name.as_str(), function(types, &item.ty)?)))
}

fn function<'a>(types: TypesRef<'a>, ty: &ComponentEntityType) -> Option<&'a ComponentFuncType> {
    match ty {
        ComponentEntityType::Func(id) => types.get(*id),
        _ => None,
    }
}

fn kind(ty: &ComponentEntityType) -> ItemKind {
    match ty {
        ComponentEntityType::Func(_) => ItemKind::Function,
        ComponentEntityType::Type { .. } => ItemKind::Type,
        ComponentEntityType::Instance(_) => ItemKind::Instance,
        ComponentEntityType::Module(_) => ItemKind::Module,
        ComponentEntityType::Component(_) => ItemKind::Component,
        ComponentEntityType::Value(_) => ItemKind::Value,
    }
}

fn type_text(wit: &Wit<'_>, ty: &ComponentEntityType) -> String {
    match ty {
        ComponentEntityType::Func(id) => wit.function(&wit.types[*id]),
        ComponentEntityType::Type { created, .. } => wit.definition(*created),
        other => kind(other).to_string(),
    }
}
