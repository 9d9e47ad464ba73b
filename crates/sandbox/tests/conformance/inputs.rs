//! Arguments and environments for the guests that print theirs.

/// What a guest is given.
pub(super) struct Input {
    /// The name of the case.
    pub(super) name: &'static str,
    pub(super) args: Vec<String>,
    pub(super) env: Vec<(String, String)>,
}

/// All that the guest of `call` is tried with.
pub(super) fn of(call: &str) -> impl Iterator<Item = Input> {
    match call {
        "args_get" => arguments(),
        "environ_get" => environments(),
        _ => panic!("{call}.wat exports a command; what is it given?"),
    }
    .into_iter()
}

fn arguments() -> Vec<Input> {
    let many: Vec<String> = (0..2000)
        .map(|number| format!("argument {number}"))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = "x".repeat(60_000);
    let cases: [(_, &[&str]); 6] = [
        ("a command has its name", &[]),
        ("arguments follow the name", &["one", "-x", "two words"]),
        ("an argument may be empty", &["", "last", ""]),
        (
            "an argument may be any text",
            &["a=b", "\n\"'\\", "äöü 漢字 🦀"],
        ),
        ("there may be thousands of arguments", &many),
        ("an argument may be long", &[&long]),
    ];
    let input = |(name, args): (_, &[&str])| Input {
        name,
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        env: Vec::new(),
    };
    cases.into_iter().map(input).collect()
}

fn environments() -> Vec<Input> {
    let many: Vec<String> = (0..2000).map(|number| format!("KEY{number}")).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|key| (key.as_str(), "value")).collect();
    let long = "x".repeat(60_000);
    let cases: [(_, &[(&str, &str)]); 5] = [
        ("an empty environment is empty", &[]),
        ("a variable is a name and a value", &[("KEY", "value")]),
        (
            "a value may be empty or any text",
            &[("EMPTY", ""), ("TEXT", "a=b\n漢字 🦀")],
        ),
        ("there may be thousands of variables", &many),
        ("a value may be long", &[("LONG", &long)]),
    ];
    let input = |(name, env): (_, &[(&str, &str)])| Input {
        name,
        args: Vec::new(),
        env: env
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()))
            .collect(),
    };
    cases.into_iter().map(input).collect()
}

impl Input {
    /// What the guest of `call` prints: each text that it is given, with the zero that ends it.
    pub(super) fn echo(&self, call: &str, name: &str) -> Vec<u8> {
        let Self { name: _, args, env } = self;
        let texts: Vec<String> = if call == "environ_get" {
            let pairs = env.iter();
            pairs.map(|(key, value)| format!("{key}={value}")).collect()
        } else {
            std::iter::once(name.to_owned())
                .chain(args.iter().cloned())
                .collect()
        };
        texts
            .iter()
            .flat_map(|text| [text.as_bytes(), b"\0"].concat())
            .collect()
    }
}
