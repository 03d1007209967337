//! The state machine against a model: a table of every state and what each command does to it.

use proptest::prelude::*;
use time::Duration;

use super::*;

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
    assert_eq!(refusal(State::Cancelled, Command::Release), Refusal::CancelledBeforeArrival);
    assert_eq!(
        refusal(State::Held, Command::Report(Report::Lost)),
        Refusal::StateConflict { state: State::Held, reported: State::Lost }
    );
}

#[test]
fn a_parcel_to_nowhere_is_refused() {
    let country = Country::parse("AQ").unwrap();

    let refusal = Shipment::create(Uuid::nil(), Uuid::nil(), country, at(0)).unwrap_err();

    assert_eq!(refusal, Refusal::AddressNotServed { country });
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
fn an_address_is_needed_until_the_parcel_has_ended() {
    for state in STATES {
        let ended = matches!(state, State::Delivered | State::Lost | State::Cancelled);
        assert_eq!(in_state(state).needs_address(), !ended, "{state}");
    }
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
    let country = Country::parse("DE").unwrap();
    Shipment::create(Uuid::from_u128(1), Uuid::from_u128(2), country, at(0)).unwrap()
}

fn at(tick: usize) -> OffsetDateTime {
    OffsetDateTime::UNIX_EPOCH + Duration::seconds(tick.try_into().unwrap())
}
