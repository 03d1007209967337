//! `flags`: switches that services ask while they run.

use std::process::ExitCode;

use anyhow::{Context as _, Result, bail, ensure};
use async_nats::jetstream;
use mesh_flags::{BadRule, Board, Change, NotKept, Rule};
use mesh_local::{Flag, connect_nats};
use meshctl::services;
use serde_json::{Value, json};

use crate::output::{self, Tone};
use crate::project::Project;
use crate::state::State;

/// What to do; lists them if nothing is said.
#[derive(Debug, clap::Args)]
#[command(after_help = crate::help::FLAGS)]
pub struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    /// Print JSON and nothing else.
    #[arg(long, global = true)]
    json: bool,
    /// The broker, as its operator; that of the shop that is up if not given.
    #[arg(long, env = "NATS_URL", hide_env_values = true, value_name = "URL", global = true)]
    nats_url: Option<String>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Lists all flags, with what holds and who said so.
    List,
    /// Shows one flag; or says `on` or `off`: for a user.
    Get {
        /// The flag, such as storefront.home_stock.
        name: String,
        /// Only what holds for this user.
        #[arg(long, value_name = "ID")]
        user: Option<String>,
    },
    /// Turns a flag on or off for everybody who is not named, for a percentage, or for users.
    Set {
        /// The flag, such as storefront.home_stock.
        name: String,
        /// For everybody who is not named.
        #[arg(value_enum, conflicts_with = "percent", required_unless_present_any = ["percent", "users"])]
        to: Option<Position>,
        /// For so many of a hundred users, who stay on their side.
        #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(0..=100))]
        percent: Option<u8>,
        /// For one user whatever the percentage; `unset` to go by it again.
        #[arg(long = "user", value_name = "ID=on|off|unset", value_parser = named)]
        users: Vec<(String, Option<bool>)>,
        #[command(flatten)]
        word: Word,
    },
    /// Lets a flag be as it is declared.
    Unset {
        /// The flag, such as storefront.home_stock.
        name: String,
        #[command(flatten)]
        word: Word,
    },
    /// Shows who said what of a flag, and when, the last first.
    History {
        /// The flag, such as storefront.home_stock.
        name: String,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Position {
    On,
    Off,
}

/// Whose word it is.
#[derive(Debug, clap::Args)]
struct Word {
    /// Who changes it.
    #[arg(long, env = "USER", value_name = "NAME")]
    by: Option<String>,
    /// What for.
    #[arg(long, value_name = "TEXT", default_value = "")]
    why: String,
}

/// A flag of a service.
struct Known {
    name: String,
    service: String,
    flag: Flag,
}

/// Runs the command.
pub async fn run(args: Args) -> Result<ExitCode> {
    let action = args.action.unwrap_or(Action::List);
    let known = known()?;
    // A mistaken name is told before anything is asked.
    let one = match &action {
        Action::List => None,
        Action::Get { name, .. }
        | Action::Set { name, .. }
        | Action::Unset { name, .. }
        | Action::History { name } => Some(find(&known, name)?),
    };
    let board = board(args.nats_url).await?;
    match (action, one) {
        (Action::Get { user: Some(user), .. }, Some(one)) => {
            let rule = board.get(&one.name).await?.and_then(|change| change.rule);
            let on = rule.map_or(one.flag.default, |rule| rule.decide(&one.name, Some(&user)));
            if args.json {
                output::json(&json!({ "flag": one.name, "user": user, "on": on }))?;
            } else {
                output::put(&format!("{}\n", if on { "on" } else { "off" }))?;
            }
        }
        (Action::Set { to, percent, users, word, .. }, Some(one)) => {
            let edit = |rule| set(rule, one.flag.default, to, percent, &users).map(Some);
            board.change(&one.name, (word.by()?, &word.why), edit).await?;
            list(&board, &[one], args.json).await?;
        }
        (Action::Unset { word, .. }, Some(one)) => {
            board.change(&one.name, (word.by()?, &word.why), |_| Ok(None)).await?;
            list(&board, &[one], args.json).await?;
        }
        (Action::History { .. }, Some(one)) => history(&board, one, args.json).await?,
        (_, Some(one)) => list(&board, &[one], args.json).await?,
        (_, None) => list(&board, &known.iter().collect::<Vec<_>>(), args.json).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The flags of all services.
fn known() -> Result<Vec<Known>> {
    let mut known = Vec::new();
    for declaration in services::declarations()? {
        let service = declaration.service;
        known.extend(declaration.flags.into_iter().map(|flag| {
            let name = format!("{service}.{}", flag.name);
            Known { name, service: service.clone(), flag }
        }));
    }
    Ok(known)
}

fn find<'a>(known: &'a [Known], name: &str) -> Result<&'a Known> {
    let found = known.iter().find(|known| known.name == name);
    found.with_context(|| {
        let names: Vec<_> = known.iter().map(|known| known.name.as_str()).collect();
        format!("no service declares a flag `{name}`: say one of {}", names.join(", "))
    })
}

async fn board(nats_url: Option<String>) -> Result<Board> {
    let url = match nats_url {
        Some(url) => url,
        None => State::load(&Project::find()?.home)?.nats.url,
    };
    let client = connect_nats(&url).await?;
    Ok(Board::open(&jetstream::new(client)).await?)
}

impl Word {
    fn by(&self) -> Result<&str> {
        let by = self.by.as_deref().filter(|by| !by.is_empty());
        by.context("nobody would know who changed it: say --by NAME, or set USER")
    }
}

/// What the rule becomes; one that was not there begins with what is declared.
fn set(
    rule: Option<Rule>,
    default: bool,
    to: Option<Position>,
    percent: Option<u8>,
    users: &[(String, Option<bool>)],
) -> Result<Rule, BadRule> {
    let mut rule = rule.unwrap_or_else(|| Rule::everybody(default));
    let percent = percent.or_else(|| to.map(|to| if to == Position::On { 100 } else { 0 }));
    if let Some(percent) = percent {
        rule = rule.with_percent(percent)?;
    }
    users.iter().try_fold(rule, |rule, (user, on)| rule.user(user, *on))
}

/// Reads `ID=on`.
fn named(text: &str) -> Result<(String, Option<bool>)> {
    let (user, on) = text.rsplit_once('=').context("say ID=on, ID=off or ID=unset")?;
    ensure!(!user.is_empty(), "say whose: ID=on, ID=off or ID=unset");
    let on = match on {
        "on" => Some(true),
        "off" => Some(false),
        "unset" => None,
        other => bail!("`{other}` is neither on, off nor unset"),
    };
    Ok((user.to_owned(), on))
}

/// Shows flags and what holds. Fails after all are shown if one cannot be read.
async fn list(board: &Board, flags: &[&Known], json: bool) -> Result<()> {
    let titles = ["flag", "holds", "declared", "users", "changed", "by", "why", "what it does"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    let mut values = Vec::new();
    let mut unreadable = None;
    for known in flags {
        let change = match board.get(&known.name).await {
            Ok(change) => change,
            Err(error @ NotKept::Unreadable { .. }) => {
                unreadable.get_or_insert(error);
                continue;
            }
            Err(error) => return Err(error.into()),
        };
        rows.push(row(known, change.as_ref()));
        values.push(value(known, change.as_ref()));
    }
    if json {
        output::json(&values)?;
    } else {
        output::put(&output::table(&rows))?;
    }
    unreadable.map_or(Ok(()), |error| Err(error.into()))
}

fn row(known: &Known, change: Option<&Change>) -> Vec<(String, Tone)> {
    let rule = change.and_then(|change| change.rule.as_ref());
    let as_declared = Rule::everybody(known.flag.default);
    let holds = rule.unwrap_or(&as_declared);
    let word = |text: &str| if text.is_empty() { "-".to_owned() } else { text.to_owned() };
    let users = holds.users();
    vec![
        (known.name.clone(), Tone::Strong),
        (position(holds), if rule.is_some() { Tone::Doubtful } else { Tone::Good }),
        (position(&as_declared), Tone::Plain),
        (if users.is_empty() { "-".to_owned() } else { users.len().to_string() }, Tone::Plain),
        (word(change.map_or("", |change| &change.at)), Tone::Plain),
        (word(change.map_or("", |change| &change.by)), Tone::Plain),
        (word(change.map_or("", |change| &change.why)), Tone::Plain),
        (known.flag.what.clone(), Tone::Faint),
    ]
}

fn position(rule: &Rule) -> String {
    match rule.of_hundred() {
        0 => "off".to_owned(),
        100 => "on".to_owned(),
        percent => format!("{percent} %"),
    }
}

fn value(known: &Known, change: Option<&Change>) -> Value {
    json!({
        "flag": known.name,
        "service": known.service,
        "what": known.flag.what,
        "default": known.flag.default,
        "rule": change.and_then(|change| change.rule.as_ref()),
        "changed": change.map(|it| json!({ "by": it.by, "at": it.at, "why": it.why })),
    })
}

async fn history(board: &Board, known: &Known, json: bool) -> Result<()> {
    let mut changes = board.history(&known.name).await?;
    changes.reverse();
    if json {
        return output::json(&changes);
    }
    if changes.is_empty() {
        return Ok(output::put("  nobody ever said anything of it: it is as declared\n")?);
    }
    let titles = ["when", "to", "users", "by", "why"];
    let mut rows = vec![titles.map(|title| (title.to_owned(), Tone::Faint)).to_vec()];
    for Change { rule, by, at, why } in changes {
        let to = rule.as_ref().map_or_else(|| "as declared".to_owned(), position);
        let users = rule.iter().flat_map(Rule::users);
        let users: Vec<_> =
            users.map(|(user, on)| format!("{user}={}", if *on { "on" } else { "off" })).collect();
        let users = if users.is_empty() { "-".to_owned() } else { users.join(" ") };
        rows.push(vec![
            (at, Tone::Plain),
            (to, Tone::Strong),
            (users, Tone::Plain),
            (by, Tone::Plain),
            (why, Tone::Plain),
        ]);
    }
    Ok(output::put(&output::table(&rows))?)
}

#[cfg(test)]
mod tests {
    use super::{Position, Rule, find, known, named, set};

    #[test]
    fn what_is_not_said_stays_and_the_first_word_begins_with_what_is_declared() {
        let ada = named("ada=off").unwrap();
        let rule = set(None, true, None, None, std::slice::from_ref(&ada)).unwrap();
        assert_eq!((rule.of_hundred(), rule.users().len()), (100, 1));

        let half = set(Some(rule), true, None, Some(50), &[]).unwrap();
        assert_eq!((half.of_hundred(), half.users()["ada"]), (50, false));
        let off = set(Some(half), true, Some(Position::Off), None, &[named("ada=unset").unwrap()]);
        assert_eq!(off.unwrap(), Rule::everybody(false));
    }

    #[test]
    fn a_user_has_a_side() {
        assert_eq!(named("a=b=on").unwrap(), ("a=b".to_owned(), Some(true)));
        for bad in ["ada", "=on", "ada=yes", ""] {
            assert!(named(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_flag_that_nobody_declares_is_refused_with_those_that_there_are() {
        let known = known().unwrap();
        assert!(find(&known, "storefront.home_stock").is_ok());
        let refused = find(&known, "storefront.stock").err().unwrap().to_string();
        assert!(refused.contains("say one of ") && refused.contains("storefront.home_stock"));
    }
}
