//! The help of every verb, word for word.

use clap::CommandFactory;
use propeller_cli::Cli;

/// Columns that the help is laid out for; without it, the terminal decides.
const WIDTH: usize = 100;

#[test]
fn help_of_every_verb() {
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let mut pages = Vec::new();
    collect(&mut root, "", &mut pages);
    for (path, page) in pages {
        insta::assert_snapshot!(path.replace(' ', "-"), page);
    }
}

#[test]
fn short_help_leaves_out_what_is_for_upstream_scripts() {
    let mut root = Cli::command().term_width(WIDTH);
    root.build();
    let tasks = root.find_subcommand_mut("tasks").expect("there are tasks");
    let create = tasks
        .find_subcommand_mut("create")
        .expect("tasks can be created");
    insta::assert_snapshot!(create.render_help().to_string());
}

#[test]
fn the_grammar_contradicts_itself_nowhere() {
    Cli::command().debug_assert();
}

fn collect(command: &mut clap::Command, above: &str, pages: &mut Vec<(String, String)>) {
    let path = format!("{above} {}", command.get_name()).trim().to_owned();
    let page = command.render_long_help().to_string();
    pages.push((path.clone(), page));
    for verb in command
        .get_subcommands_mut()
        .filter(|verb| verb.get_name() != "help")
    {
        collect(verb, &path, pages);
    }
}
