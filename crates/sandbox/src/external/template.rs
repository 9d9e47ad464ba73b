//! What a runtime's command line looks like: words with places that a job fills.
//!
//! ```text
//! run --env={env} --fuel={fuel} --invoke={invoke} -- {module} {args}
//! ```
//!
//! A word has at most one place. It is there once for every value of its place: a word with
//! `{env}` for each variable, one with `{invoke}` not at all where no function is called. So a
//! template also says what a runtime can do: without `{fuel}` it cannot hold fuel.

use std::fmt;
use std::str::FromStr;

/// A command line, but for the program and what a job brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Template {
    words: Vec<Word>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    before: String,
    slot: Option<Slot>,
    after: String,
}

/// A place in a template.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    Module,
    File,
    Name,
    Args,
    Dashes,
    Env,
    Invoke,
    Fuel,
    Memory,
    Table,
    Grow,
    Stack,
    StackKib,
    Script,
}

/// Every place and how it is written.
const SLOTS: [(&str, Slot); 14] = [
    ("module", Slot::Module),
    ("file", Slot::File),
    ("name", Slot::Name),
    ("args", Slot::Args),
    ("dashes", Slot::Dashes),
    ("env", Slot::Env),
    ("invoke", Slot::Invoke),
    ("fuel", Slot::Fuel),
    ("memory", Slot::Memory),
    ("table", Slot::Table),
    ("grow", Slot::Grow),
    ("stack", Slot::Stack),
    ("stack_kib", Slot::StackKib),
    ("script", Slot::Script),
];

/// What a template has instead of `{script}` and cannot have beside it.
const SCRIPTED: [Slot; 7] = [
    Slot::Module,
    Slot::File,
    Slot::Name,
    Slot::Args,
    Slot::Dashes,
    Slot::Env,
    Slot::Invoke,
];

/// Why a text is no template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateError {
    /// A place that does not exist.
    #[error(
        "there is no `{{{0}}}`; there are {{module}}, {{file}}, {{name}}, {{args}}, {{dashes}}, {{env}}, \
         {{invoke}}, {{fuel}}, {{memory}}, {{table}}, {{grow}}, {{stack}} and {{stack_kib}}"
    )]
    Unknown(String),
    /// A brace without its other half, or two places in one word.
    #[error("`{0}` is not a word with at most one place in braces")]
    Word(String),
    /// No way, or two ways, to the module.
    #[error("it needs exactly one `{{module}}`, or `{{file}}` for a runtime that takes only files")]
    Module,
    /// The guest's arguments would be read as options.
    #[error("`{{args}}` has to be a word of its own, behind the module")]
    Args,
    /// A name would be an option of the runtime.
    #[error("`{0}` has to be part of an option, such as `--option={0}`")]
    Bare(String),
    /// Only the templates that ship have a script.
    #[error("`{{script}}` is for templates that ship with Propeller")]
    Script,
}

impl Template {
    /// A template that an operator wrote.
    ///
    /// # Errors
    ///
    /// [`TemplateError`]
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let template: Self = text.parse()?;
        if template.has(Slot::Script) {
            return Err(TemplateError::Script);
        }
        Ok(template)
    }

    pub(super) fn has(&self, slot: Slot) -> bool {
        self.at(slot).is_some()
    }

    /// Whether a word of its own tells the runtime that its options end before the arguments.
    pub(super) fn ends_options(&self) -> bool {
        let end = self
            .words
            .iter()
            .position(|word| (word.slot.is_none() && word.before == "--") || word.is(Slot::Dashes));
        end.is_some_and(|end| self.at(Slot::Args).is_none_or(|args| end < args))
    }

    /// The words, with every place filled with the values that `fill` has for it.
    pub(super) fn words(&self, fill: impl Fn(Slot) -> Vec<String>) -> Vec<String> {
        let mut words = Vec::new();
        for word in &self.words {
            match word.slot {
                None => words.push(word.before.clone()),
                Some(slot) => words.extend(
                    fill(slot)
                        .iter()
                        .map(|value| format!("{}{value}{}", word.before, word.after)),
                ),
            }
        }
        words
    }

    fn at(&self, slot: Slot) -> Option<usize> {
        self.words.iter().position(|word| word.is(slot))
    }

    fn checked(self) -> Result<Self, TemplateError> {
        if self.has(Slot::Script) {
            let twice = SCRIPTED.iter().any(|slot| self.has(*slot));
            return if twice {
                Err(TemplateError::Script)
            } else {
                Ok(self)
            };
        }
        let modules: Vec<usize> = (0..self.words.len())
            .filter(|at| self.words[*at].is(Slot::Module) || self.words[*at].is(Slot::File))
            .collect();
        let [module] = modules[..] else {
            return Err(TemplateError::Module);
        };
        let args = self.words.iter().enumerate();
        let mut args = args.filter(|(_, word)| word.is(Slot::Args));
        if args.any(|(at, word)| at < module || !word.is_bare()) {
            return Err(TemplateError::Args);
        }
        let tenants = [Slot::Name, Slot::Env, Slot::Invoke];
        let bare = self.words.iter().find(|word| {
            word.slot.is_some_and(|slot| tenants.contains(&slot)) && !word.before.ends_with('=')
        });
        match bare {
            Some(word) => Err(TemplateError::Bare(word.to_string())),
            None => Ok(self),
        }
    }
}

impl FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Self, TemplateError> {
        let words: Result<_, _> = text.split_ascii_whitespace().map(Word::parse).collect();
        Self { words: words? }.checked()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, word) in self.words.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            write!(f, "{space}{word}")?;
        }
        Ok(())
    }
}

impl Word {
    fn parse(text: &str) -> Result<Self, TemplateError> {
        let wrong = || TemplateError::Word(text.to_owned());
        let Some((before, rest)) = text.split_once('{') else {
            if text.contains('}') {
                return Err(wrong());
            }
            return Ok(Self {
                before: text.to_owned(),
                slot: None,
                after: String::new(),
            });
        };
        let (name, after) = rest.split_once('}').ok_or_else(wrong)?;
        if [before, name, after].concat().contains(['{', '}']) {
            return Err(wrong());
        }
        let slot = SLOTS.iter().find(|(known, _)| *known == name);
        let (_, slot) = slot.ok_or_else(|| TemplateError::Unknown(name.to_owned()))?;
        Ok(Self {
            before: before.to_owned(),
            slot: Some(*slot),
            after: after.to_owned(),
        })
    }

    fn is(&self, slot: Slot) -> bool {
        self.slot == Some(slot)
    }

    fn is_bare(&self) -> bool {
        self.before.is_empty() && self.after.is_empty()
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = SLOTS.iter().find(|(_, slot)| Some(*slot) == self.slot);
        match name {
            Some((name, _)) => write!(f, "{}{{{name}}}{}", self.before, self.after),
            None => f.write_str(&self.before),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The words of a template that `args` has values for `{args}` and `{env}`, and 7 for the rest.
    fn check(text: &str, values: &[&str], expected: &str) {
        let told = match Template::parse(text) {
            Ok(template) => {
                assert_eq!(template.to_string(), text);
                let many = values.iter().map(|&value| value.to_owned()).collect();
                let fill = |slot| match slot {
                    Slot::Args | Slot::Env => Vec::clone(&many),
                    Slot::Invoke => Vec::new(),
                    _ => vec!["7".to_owned()],
                };
                template.words(fill).join("|")
            }
            Err(error) => error.to_string(),
        };
        assert!(told.contains(expected), "{text}: {told}");
    }

    #[test]
    fn a_word_is_there_once_for_every_value() {
        check(
            "run --env={env} --invoke={invoke} -Wfuel={fuel} -- {module} {args}",
            &["a=b", "c"],
            "run|--env=a=b|--env=c|-Wfuel=7|--|7|a=b|c",
        );
        check("--env={env} {module} {args}", &[], "7");
    }

    #[test]
    fn what_is_no_template_is_refused_with_the_reason() {
        check("run {modul}", &[], "there is no `{modul}`");
        check("run", &[], "exactly one `{module}`");
        check("{module} {file}", &[], "exactly one `{module}`");
        check("{module}{args}", &[], "at most one place");
        check("{module", &[], "at most one place");
        check("module}", &[], "at most one place");
        check("{args} {module}", &[], "behind the module");
        check("{module} x{args}", &[], "behind the module");
        check(
            "--env {env} {module}",
            &[],
            "`{env}` has to be part of an option",
        );
        check("{invoke} {module}", &[], "`{invoke}` has to be part of");
        check("--eval={script}", &[], "ship with Propeller");
    }

    #[test]
    fn a_template_knows_whether_options_end_before_the_arguments() {
        let ends = |text: &str| Template::parse(text).expect("a template").ends_options();
        assert!(ends("run -- {module} {args}"));
        assert!(ends("run {module} -- {args}"));
        assert!(ends("run {module} {dashes} {args}"));
        assert!(!ends("run {module} {args}"));
        assert!(!ends("run {module} {args} --"));
    }
}
