//! Something that the shop sells.

use shop::money::Money;
use time::OffsetDateTime;
use uuid::Uuid;

use super::Refusal;

const LONGEST_SKU: usize = 40;

/// Something that the shop sells, or has sold, and what one piece of it costs now.
#[derive(Clone, Debug, PartialEq)]
pub struct Product {
    pub id: Uuid,
    pub sku: Sku,
    pub name: String,
    pub description: String,
    pub price: Money,
    pub category: Option<Uuid>,
    pub state: State,
    /// Grows with every change.
    pub version: i32,
    pub created: OffsetDateTime,
    pub updated: OffsetDateTime,
}

/// Whether a product is sold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It can be ordered.
    Active,
    /// It cannot be ordered any more, nor changed.
    Archived,
}

/// What shall be different about a product; what is `None` stays.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    pub name: Option<String>,
    pub description: Option<String>,
    pub price: Option<Money>,
    /// Another category, or none at all.
    pub category: Option<Option<Uuid>>,
}

/// What happened to a product.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ProductEvent {
    Created,
    Updated { old_price: Money },
    Archived,
}

impl Product {
    /// Refuses if the caller saw another version than this.
    pub fn check(&self, seen: Option<i32>) -> Result<(), Refusal> {
        match seen {
            Some(version) if version != self.version => Err(Refusal::ProductChanged),
            _ => Ok(()),
        }
    }

    /// Changes what is sold. Nothing happens if all is so already.
    pub fn update(
        &mut self,
        changes: Changes,
        now: OffsetDateTime,
    ) -> Result<Option<ProductEvent>, Refusal> {
        if self.state == State::Archived {
            return Err(Refusal::ProductArchived);
        }
        let Changes { name, description, price, category } = changes;
        let changed = Product {
            name: name.unwrap_or_else(|| self.name.clone()),
            description: description.unwrap_or_else(|| self.description.clone()),
            price: price.unwrap_or(self.price),
            category: category.unwrap_or(self.category),
            ..self.clone()
        };
        if changed == *self {
            return Ok(None);
        }
        let old_price = self.price;
        *self = Product { version: self.version + 1, updated: now, ..changed };
        Ok(Some(ProductEvent::Updated { old_price }))
    }

    /// Ends the sale. Nothing happens if it has ended.
    pub fn archive(&mut self, now: OffsetDateTime) -> Option<ProductEvent> {
        if self.state == State::Archived {
            return None;
        }
        self.state = State::Archived;
        self.version += 1;
        self.updated = now;
        Some(ProductEvent::Archived)
    }

    pub fn is_sold(&self) -> bool {
        self.state == State::Active
    }
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "ACTIVE",
            Self::Archived => "ARCHIVED",
        }
    }
}

/// Stock keeping unit: 1 to 40 of A-Z, 0-9 and '-'.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sku(String);

impl Sku {
    /// The SKU that this text is, if it is one; somebody need not sell it.
    pub fn parse(text: &str) -> Option<Self> {
        let letters = |c: u8| c.is_ascii_uppercase() || c.is_ascii_digit() || c == b'-';
        let fits = (1..=LONGEST_SKU).contains(&text.len());
        (fits && text.bytes().all(letters)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn into_string(self) -> String {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use shop::money::Currency;

    use super::*;

    #[test]
    fn a_sku_is_short_and_of_few_letters() {
        for sku in ["A", "MUG-BLUE-350", "0", "-", &"X".repeat(40)] {
            assert_eq!(Sku::parse(sku).unwrap().as_str(), sku);
        }
        for text in ["", "mug", "MUG BLUE", "MUG_BLUE", "MÜG", "A\0", &"X".repeat(41)] {
            assert_eq!(Sku::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_change_is_a_new_version_and_tells_the_old_price() {
        let mut mug = mug();
        let dearer = Changes { price: Some(euros(1500)), ..Changes::default() };

        let event = mug.update(dearer.clone(), later()).unwrap();

        assert_eq!(event, Some(ProductEvent::Updated { old_price: euros(1290) }));
        let expected = Product { price: euros(1500), version: 2, updated: later(), ..self::mug() };
        assert_eq!(mug, expected);
        assert_eq!(mug.update(dearer, later()), Ok(None), "all is so already");
        assert_eq!(mug, expected);
    }

    #[test]
    fn what_is_not_named_stays_and_what_is_named_may_be_emptied() {
        let mut mug = Product { category: Some(Uuid::max()), ..mug() };
        let bare = Changes {
            description: Some(String::new()),
            category: Some(None),
            ..Changes::default()
        };

        mug.update(bare, later()).unwrap().unwrap();

        let bare = Product { description: String::new(), category: None, ..self::mug() };
        assert_eq!(mug, Product { version: 2, updated: later(), ..bare });
    }

    #[test]
    fn an_archived_product_stays_as_it_is() {
        let mut mug = mug();

        assert_eq!(mug.archive(later()), Some(ProductEvent::Archived));
        assert!(!mug.is_sold());
        let archived = mug.clone();
        assert_eq!((archived.version, archived.updated), (2, later()));
        assert_eq!(mug.archive(later()), None);
        let name = Some("Other".to_owned());
        let update = mug.update(Changes { name, ..Changes::default() }, later());
        assert_eq!(update, Err(Refusal::ProductArchived));
        assert_eq!(mug.update(Changes::default(), later()), Err(Refusal::ProductArchived));
        assert_eq!(mug, archived);
    }

    #[test]
    fn an_etag_that_was_seen_must_be_the_current_one() {
        let mug = mug();

        assert_eq!((mug.check(None), mug.check(Some(1))), (Ok(()), Ok(())));
        assert_eq!(mug.check(Some(2)), Err(Refusal::ProductChanged));
    }

    fn mug() -> Product {
        Product {
            id: Uuid::nil(),
            sku: Sku::parse("MUG").unwrap(),
            name: "Mug".to_owned(),
            description: "Holds coffee.".to_owned(),
            price: euros(1290),
            category: None,
            state: State::Active,
            version: 1,
            created: OffsetDateTime::UNIX_EPOCH,
            updated: OffsetDateTime::UNIX_EPOCH,
        }
    }

    fn euros(minor: i64) -> Money {
        Money::new(Currency::EUR, minor)
    }

    fn later() -> OffsetDateTime {
        OffsetDateTime::UNIX_EPOCH.replace_year(1990).unwrap()
    }
}
