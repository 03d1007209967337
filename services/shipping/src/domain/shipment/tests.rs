//! The state machine against a model: a table of every state and what each command does to it.

use proptest::prelude::*;
use time::Duration;

use super::*;
use crate::domain::{Parcel, Speed, quote};

const STATES: [State; 6] = [
    State::Held,
    State::Released,
    State::Dispatched,
    State::Delivered,
    State::Lost,
    State::Cancelled,
];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Command {
    Release,
    Cancel,
    Report(Report),
}

const COMMANDS: [Command; 5] = [
    Command::Release,
    Command::Cancel,
    Command::Report(Report::Dispatched),
    Command::Report(Report::Delivered),
    Command::Report(Report::Lost),
];

/// The model: the next state, the same state if the command is content with it, or a refusal.
/// Columns as in `COMMANDS`; a letter is a state's first two, `=` content, `!` refused.
const MODEL: [(State, [&str; 5]); 6] = [
    (State::Held, ["RE", "CA", "!", "!", "!"]),
    (State::Released, ["=", "CA", "DI", "!", "!"]),
    (State::Dispatched, ["=", "!", "!", "DE", "LO"]),
    (State::Delivered, ["=", "!", "!", "!", "!"]),
    (State::Lost, ["=", "!", "!", "!", "!"]),
    (State::Cancelled, ["!", "=", "!", "!", "!"]),
];

proptest! {
    #[test]
    fn any_history_of_commands_follows_the_model(history in prop::collection::vec(0..5_usize, 0..12)) {
        let mut shipment = held();
        let mut before = vec![shipment.clone()];
        for (tick, column) in history.into_iter().enumerate() {
            let now = at(tick + 1);
            let was = shipment.clone();

            let outcome = apply(&mut shipment, COMMANDS[column], now);

            match expected(was.state, column) {
                Some(state) if state != was.state => {
                    prop_assert_eq!(outcome, Ok(true));
                    prop_assert_eq!(shipment.state, state);
                    prop_assert_eq!(shipment.version, was.version + 1);
                    prop_assert_eq!(shipment.updated(), now);
                    before.push(shipment.clone());
                }
                Some(_) => {
                    prop_assert_eq!(outcome, Ok(false));
                    prop_assert_eq!(&shipment, &was);
                }
                None => {
                    prop_assert!(outcome.is_err());
                    prop_assert_eq!(&shipment, &was, "a refused command leaves no trace");
                }
            }
        }
        for earlier in before {
            prop_assert_eq!(shipment.at(earlier.version), earlier);
        }
    }
}

#[test]
fn refusals_say_why() {
    let refusal = |state, command| apply(&mut in_state(state), command, at(9)).unwrap_err();

    for state in [State::Dispatched, State::Delivered, State::Lost] {
        assert_eq!(refusal(state, Command::Cancel), Refusal::Dispatched);
    }
    assert_eq!(refusal(State::Cancelled, Command::Release), Refusal::Cancelled);
    assert_eq!(
        refusal(State::Held, Command::Report(Report::Lost)),
        Refusal::StateConflict { state: State::Held, reported: State::Lost }
    );
}

#[test]
fn a_mark_stays_cancelled() {
    let mark = Shipment::tombstone(Uuid::nil(), at(0));

    for (column, command) in COMMANDS.into_iter().enumerate() {
        let mut shipment = mark.clone();
        let outcome = apply(&mut shipment, command, at(1));

        assert_eq!(outcome.ok(), expected(State::Cancelled, column).map(|_| false));
        assert_eq!(shipment, mark);
    }
}

#[test]
fn a_parcel_is_expected_until_it_has_ended() {
    for state in STATES {
        let ended = matches!(state, State::Delivered | State::Lost | State::Cancelled);
        let shipment = in_state(state);
        assert_eq!(shipment.has_ended(), ended, "{state}");
        assert_eq!(shipment.estimate().is_none(), ended, "{state}");
    }
}

#[test]
fn a_parcel_is_expected_from_the_day_of_its_latest_state() {
    let day = |n: usize| at(n * 24 * 3600);
    let mut shipment = held();
    let mut expected = vec![shipment.estimate().unwrap().earliest];
    shipment.release(day(4)).unwrap();
    expected.push(shipment.estimate().unwrap().earliest);
    shipment.report(Report::Dispatched, day(5)).unwrap();
    expected.push(shipment.estimate().unwrap().earliest);

    // The epoch is a Thursday, so day 4 is a Monday.
    assert_eq!(expected, [day(1).date(), day(5).date(), day(6).date()]);
    assert_eq!(shipment.at(1).estimate(), held().estimate(), "as it was told then");
}

fn apply(shipment: &mut Shipment, command: Command, now: OffsetDateTime) -> Result<bool, Refusal> {
    match command {
        Command::Release => shipment.release(now),
        Command::Cancel => shipment.cancel(now),
        Command::Report(report) => shipment.report(report, now).map(|()| true),
    }
}

fn expected(state: State, column: usize) -> Option<State> {
    let (_, row) = MODEL.iter().find(|(from, _)| *from == state).unwrap();
    match row[column] {
        "=" => Some(state),
        "!" => None,
        prefix => STATES.into_iter().find(|state| state.as_str().starts_with(prefix)),
    }
}

fn in_state(state: State) -> Shipment {
    let mut shipment = held();
    let path: &[Command] = match state {
        State::Held => &[],
        State::Released => &COMMANDS[..1],
        State::Dispatched => &[COMMANDS[0], COMMANDS[2]],
        State::Delivered => &[COMMANDS[0], COMMANDS[2], COMMANDS[3]],
        State::Lost => &[COMMANDS[0], COMMANDS[2], COMMANDS[4]],
        State::Cancelled => &COMMANDS[1..2],
    };
    for (tick, command) in path.iter().enumerate() {
        apply(&mut shipment, *command, at(tick + 1)).unwrap();
    }
    assert_eq!(shipment.state, state);
    shipment
}

fn held() -> Shipment {
    let parcel = Parcel { speed: Speed::Standard, grams: 1000 };
    let terms = quote(Country::parse("DE").unwrap(), parcel).unwrap();
    Shipment::create(Uuid::from_u128(1), Uuid::from_u128(2), terms, at(0))
}

fn at(tick: usize) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(tick.try_into().unwrap())
}
