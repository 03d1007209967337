//! What customers order: a fixed mix, drawn by a seed, the same whoever is served first.

use std::collections::BTreeMap;

use rand::seq::SliceRandom as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use shop::catalog::v1::Product;
use shop::common::v1::Address;
use shop::orders::v1::CartLine;

/// So many orders hold exactly the cards of [`DECK`] and the places of [`UNSERVED`].
const ROUND: u64 = 100;
/// Orders of a round that are paid by another card than the one that is approved.
const DECK: [(Card, usize); 5] = [
    (Card::GenericDecline, 2),
    (Card::InsufficientFunds, 2),
    (Card::Expired, 1),
    (Card::Stolen, 1),
    (Card::RefundRefused, 2),
];
/// Orders of a round that go where no carrier goes.
const UNSERVED: usize = 2;
/// The first order that is paid by an odd card, and how many orders lie between two of them.
const ODD: (u64, u64) = (5, 10);
const ODD_CARDS: [Card; 4] =
    [Card::Slow, Card::AnswerLost, Card::RequestLost, Card::CaptureRefused];

const NOBODY_SERVES: &str = "AQ";
const PLACES: [(&str, &str, &str); 8] = [
    ("DE", "10115", "Berlin"),
    ("FR", "75011", "Paris"),
    ("AT", "1070", "Wien"),
    ("CH", "8004", "Zürich"),
    ("GB", "E1 6AN", "London"),
    ("IT", "20121", "Milano"),
    ("NO", "0150", "Oslo"),
    ("US", "94110", "San Francisco"),
];
const PEOPLE: [&str; 8] = [
    "Ada Lovelace",
    "Grace Hopper",
    "Emmy Noether",
    "Alan Turing",
    "Lise Meitner",
    "Rosalind Franklin",
    "Edsger Dijkstra",
    "Barbara Liskov",
];

/// A card of the sandbox, by what it does (`shop/processor/v1/cards_service.proto`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Card {
    Approved,
    GenericDecline,
    InsufficientFunds,
    Expired,
    Stolen,
    AnswerLost,
    RequestLost,
    Slow,
    CaptureRefused,
    RefundRefused,
}

impl Card {
    /// Every card; a card's place is its number as an integer.
    pub const ALL: [Card; 10] = [
        Card::Approved,
        Card::GenericDecline,
        Card::InsufficientFunds,
        Card::Expired,
        Card::Stolen,
        Card::AnswerLost,
        Card::RequestLost,
        Card::Slow,
        Card::CaptureRefused,
        Card::RefundRefused,
    ];

    /// What is printed on it.
    pub fn number(self) -> &'static str {
        match self {
            Card::Approved => "4242 4242 4242 4242",
            Card::GenericDecline => "4000 0000 0000 0002",
            Card::InsufficientFunds => "4000 0000 0000 9995",
            Card::Expired => "4000 0000 0000 0069",
            Card::Stolen => "4000 0000 0000 9979",
            Card::AnswerLost => "4000 0000 0000 0341",
            Card::RequestLost => "4000 0000 0000 0358",
            Card::Slow => "4000 0000 0000 0366",
            Card::CaptureRefused => "4000 0000 0000 0374",
            Card::RefundRefused => "4000 0000 0000 0382",
        }
    }
}

/// What one customer is about to buy.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Errand {
    pub lines: Vec<CartLine>,
    pub card: Card,
    pub address: Address,
}

/// All errands of a run.
pub(super) struct Mix {
    seed: u64,
    odd_every: u64,
    /// SKUs by currency: an order has one.
    shelves: Vec<Vec<String>>,
}

impl Mix {
    /// The mix of a seed, over these products.
    pub fn new(seed: u64, odd_every: u64, products: &[Product]) -> Mix {
        let mut shelves: BTreeMap<&str, Vec<String>> = BTreeMap::new();
        for product in products {
            let currency = product.price.as_ref().map_or("", |price| &price.currency_code);
            shelves.entry(currency).or_default().push(product.sku.clone());
        }
        Mix { seed, odd_every, shelves: shelves.into_values().collect() }
    }

    /// Every SKU.
    pub fn skus(&self) -> impl Iterator<Item = &str> {
        self.shelves.iter().flatten().map(String::as_str)
    }

    /// How many pieces of each SKU the first so many errands want.
    pub fn demand(&self, errands: u64) -> Vec<(String, i64)> {
        let mut demand: BTreeMap<String, i64> =
            self.skus().map(|sku| (sku.to_owned(), 0)).collect();
        for number in 0..errands {
            for line in self.errand(number).lines {
                *demand.entry(line.sku).or_default() += line.quantity;
            }
        }
        demand.into_iter().collect()
    }

    /// The errand with this number.
    pub fn errand(&self, number: u64) -> Errand {
        let mut dice =
            StdRng::seed_from_u64(self.seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let card = self.card(number);
        Errand { lines: self.lines(&mut dice), card, address: self.address(number, &mut dice) }
    }

    fn lines(&self, dice: &mut StdRng) -> Vec<CartLine> {
        let pick = dice.random_range(0..self.skus().count().max(1));
        let mut before = 0;
        let shelf = self.shelves.iter().find(|shelf| {
            before += shelf.len();
            pick < before
        });
        let count = dice.random_range(1..=4);
        let chosen = shelf.map_or(&[][..], Vec::as_slice);
        let chosen = rand::seq::index::sample(dice, chosen.len(), count.min(chosen.len()))
            .into_iter()
            .map(|index| chosen[index].clone())
            .collect::<Vec<_>>();
        chosen.into_iter().map(|sku| CartLine { sku, quantity: dice.random_range(1..=3) }).collect()
    }

    fn card(&self, number: u64) -> Card {
        if let Some(card) = self.odd_card(number) {
            return card;
        }
        let mut place = self.place(number, 1);
        for (card, orders) in DECK {
            if place < orders {
                return card;
            }
            place -= orders;
        }
        Card::Approved
    }

    /// Early within their period: whoever waits for the last order does not wait for these.
    fn odd_card(&self, number: u64) -> Option<Card> {
        let place = number % self.odd_every.max(1);
        let (first, gap) = (ODD.0, ODD.1.min(self.odd_every / ODD_CARDS.len() as u64).max(1));
        let steps = place.checked_sub(first.min(gap - 1))?;
        if steps % gap == 0 { ODD_CARDS.get((steps / gap) as usize).copied() } else { None }
    }

    fn address(&self, number: u64, dice: &mut StdRng) -> Address {
        let (country, postal_code, city) = PLACES[dice.random_range(0..PLACES.len())];
        let served = self.place(number, 2) >= UNSERVED;
        Address {
            recipient: PEOPLE[dice.random_range(0..PEOPLE.len())].to_owned(),
            lines: vec![format!("Market Street {}", dice.random_range(1..200))],
            city: city.to_owned(),
            postal_code: postal_code.to_owned(),
            country_code: if served { country } else { NOBODY_SERVES }.to_owned(),
        }
    }

    /// Where a number lies within its shuffled round.
    fn place(&self, number: u64, what: u64) -> usize {
        let mut places: Vec<usize> = (0..ROUND as usize).collect();
        let seed = self.seed ^ (number / ROUND).wrapping_mul(31).wrapping_add(what << 56);
        places.shuffle(&mut StdRng::seed_from_u64(seed));
        places[(number % ROUND) as usize]
    }
}

#[cfg(test)]
mod tests {
    use shop::common::v1::Money;

    use super::*;

    fn products() -> Vec<Product> {
        let product = |number: u32| Product {
            sku: format!("SKU-{number}"),
            price: Some(Money {
                currency_code: if number < 3 { "USD" } else { "EUR" }.to_owned(),
                units: 1,
                nanos: 0,
            }),
            ..Product::default()
        };
        (0..12).map(product).collect()
    }

    fn cards(mix: &Mix, errands: u64) -> BTreeMap<Card, usize> {
        let mut cards = BTreeMap::new();
        for number in 0..errands {
            *cards.entry(mix.errand(number).card).or_default() += 1;
        }
        cards
    }

    #[test]
    fn the_same_seed_gives_the_same_errands_in_any_order() {
        let (one, other) = (Mix::new(7, 1000, &products()), Mix::new(7, 1000, &products()));
        let forward: Vec<Errand> = (0..200).map(|number| one.errand(number)).collect();
        let mut backward: Vec<Errand> = (0..200).rev().map(|number| other.errand(number)).collect();
        backward.reverse();

        assert_eq!(forward, backward);
        let third = Mix::new(8, 1000, &products());
        assert_ne!(forward, (0..200).map(|number| third.errand(number)).collect::<Vec<_>>());
    }

    #[test]
    fn every_hundred_orders_hold_the_same_mix() {
        let mix = Mix::new(1, u64::MAX, &products());
        for round in 1..4 {
            let errands: Vec<Errand> =
                (round * 100..(round + 1) * 100).map(|number| mix.errand(number)).collect();
            let of = |card| errands.iter().filter(|errand| errand.card == card).count();

            assert_eq!(of(Card::Approved), 92);
            assert_eq!(of(Card::InsufficientFunds), 2);
            let unserved = errands.iter().filter(|e| e.address.country_code == NOBODY_SERVES);
            assert_eq!(unserved.count(), UNSERVED);
        }
    }

    #[test]
    fn a_small_run_meets_every_odd_card_and_a_hard_one_meets_them_often() {
        let gentle = cards(&Mix::new(1, 1000, &products()), 200);
        let hard = cards(&Mix::new(1, 20, &products()), 200);
        let all = cards(&Mix::new(1, 4, &products()), 200);

        for card in ODD_CARDS {
            assert_eq!(gentle.get(&card), Some(&1), "{card:?}");
            assert_eq!(hard.get(&card), Some(&10), "{card:?}");
            assert_eq!(all.get(&card), Some(&50), "{card:?}");
        }
    }

    #[test]
    fn an_order_has_one_to_four_products_of_one_currency() {
        let products = products();
        let mix = Mix::new(3, 1000, &products);
        let currency = |sku: &str| {
            let product = products.iter().find(|product| product.sku == sku).unwrap();
            product.price.as_ref().unwrap().currency_code.clone()
        };
        for number in 0..500 {
            let lines = mix.errand(number).lines;
            let mut skus: Vec<&str> = lines.iter().map(|line| line.sku.as_str()).collect();
            skus.sort_unstable();
            skus.dedup();

            assert!((1..=4).contains(&lines.len()) && skus.len() == lines.len());
            assert!(lines.iter().all(|line| (1..=3).contains(&line.quantity)));
            assert!(lines.iter().all(|line| currency(&line.sku) == currency(&lines[0].sku)));
        }
    }

    #[test]
    fn the_demand_is_what_the_errands_want() {
        let mix = Mix::new(3, 1000, &products());
        let wanted: i64 =
            (0..50).flat_map(|number| mix.errand(number).lines).map(|line| line.quantity).sum();

        assert_eq!(mix.demand(50).iter().map(|(_, pieces)| pieces).sum::<i64>(), wanted);
        assert_eq!(mix.demand(0).len(), 12);
    }

    #[test]
    fn a_cards_place_is_its_number() {
        for (place, card) in Card::ALL.into_iter().enumerate() {
            assert_eq!(card as usize, place);
        }
    }
}
