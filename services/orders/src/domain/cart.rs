//! What a customer is about to buy.

use uuid::Uuid;

/// How many lines a cart holds at most.
pub const LINES: usize = 100;
/// How many pieces one line holds at most.
pub const QUANTITY: i64 = 1_000_000;

/// A customer's cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cart {
    pub customer: Uuid,
    /// Grows with every change, and never starts again.
    pub version: i64,
    pub lines: Vec<CartLine>,
    /// The order that was placed with this version.
    pub taken_by: Option<Uuid>,
}

/// So many pieces of one product.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CartLine {
    pub sku: String,
    pub quantity: i64,
}

/// Why a cart cannot be changed or ordered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CartRefusal {
    #[error("the cart was changed, or another order has taken it")]
    Changed,
    #[error("the cart that was to be emptied was changed")]
    SourceChanged,
    #[error("the cart is empty")]
    Empty,
    #[error("the cart has no such line")]
    NoSuchLine,
    #[error("a line of {sku} would hold more than {QUANTITY} pieces")]
    QuantityTooLarge { sku: String },
    #[error("the cart would have more than {LINES} lines with {sku}")]
    Full { sku: String },
}

/// What becomes of a cart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CartChange {
    /// It has these lines.
    Set(Vec<CartLine>),
    /// It has so many pieces more.
    Add(CartLine),
    /// A line has this quantity.
    Change(CartLine),
    /// It has no line of this SKU.
    Remove(String),
    /// It is empty.
    Clear,
}

impl Cart {
    /// The cart of a customer who never put anything in.
    pub fn empty(customer: Uuid) -> Self {
        Self { customer, version: 0, lines: Vec::new(), taken_by: None }
    }

    /// Changes the cart, or leaves it as it is and says why; `seen` is the version that the caller
    /// knows, if that matters to them.
    pub fn change(&mut self, change: &CartChange, seen: Option<i64>) -> Result<(), CartRefusal> {
        if seen.is_some_and(|seen| seen != self.version) {
            return Err(CartRefusal::Changed);
        }
        let mut lines = self.lines.clone();
        match change {
            CartChange::Set(all) => lines.clone_from(all),
            CartChange::Add(more) => add(&mut lines, more)?,
            CartChange::Change(to) => find(&mut lines, &to.sku)?.quantity = to.quantity,
            CartChange::Remove(sku) => {
                find(&mut lines, sku)?;
                lines.retain(|line| line.sku != *sku);
            }
            CartChange::Clear => lines.clear(),
        }
        self.hold(lines);
        Ok(())
    }

    /// Pours `source` into this cart, or leaves both as they are and says why; each `seen` is the
    /// version that the caller knows, if that matters to them.
    pub fn merge(
        &mut self,
        source: &mut Self,
        seen: Option<i64>,
        source_seen: Option<i64>,
    ) -> Result<(), CartRefusal> {
        if seen.is_some_and(|seen| seen != self.version) {
            return Err(CartRefusal::Changed);
        }
        if source_seen.is_some_and(|seen| seen != source.version) {
            return Err(CartRefusal::SourceChanged);
        }
        let mut lines = self.lines.clone();
        source.lines.iter().try_for_each(|more| add(&mut lines, more))?;
        self.hold(lines);
        source.hold(Vec::new());
        Ok(())
    }

    fn hold(&mut self, lines: Vec<CartLine>) {
        self.version += 1;
        self.lines = lines;
        self.taken_by = None;
    }

    /// The lines, if `order` may be placed with version `seen` of the cart.
    pub fn take(&self, order: Uuid, seen: i64) -> Result<&[CartLine], CartRefusal> {
        if self.version != seen || self.taken_by.is_some_and(|taker| taker != order) {
            return Err(CartRefusal::Changed);
        }
        if self.lines.is_empty() {
            return Err(CartRefusal::Empty);
        }
        Ok(&self.lines)
    }
}

fn find<'l>(lines: &'l mut [CartLine], sku: &str) -> Result<&'l mut CartLine, CartRefusal> {
    lines.iter_mut().find(|line| line.sku == sku).ok_or(CartRefusal::NoSuchLine)
}

/// Adds pieces to the line of their SKU, or as a line of their own.
fn add(lines: &mut Vec<CartLine>, more: &CartLine) -> Result<(), CartRefusal> {
    let CartLine { sku, quantity } = more;
    let at = lines.iter().position(|line| line.sku == *sku);
    match at {
        Some(at) if lines[at].quantity + quantity > QUANTITY => {
            return Err(CartRefusal::QuantityTooLarge { sku: sku.clone() });
        }
        Some(at) => lines[at].quantity += quantity,
        None if lines.len() >= LINES => return Err(CartRefusal::Full { sku: sku.clone() }),
        None => lines.push(more.clone()),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line(sku: &str, quantity: i64) -> CartLine {
        CartLine { sku: sku.to_owned(), quantity }
    }

    fn cart(lines: &[(&str, i64)]) -> Cart {
        let lines = lines.iter().map(|(sku, quantity)| line(sku, *quantity)).collect();
        Cart { version: 7, lines, ..Cart::empty(Uuid::nil()) }
    }

    #[test]
    fn a_change_needs_the_version_that_the_caller_knows() {
        let mut mine = cart(&[("A", 1)]);
        let add = CartChange::Add(line("A", 2));

        assert_eq!(mine.change(&add, Some(6)), Err(CartRefusal::Changed));
        assert_eq!(mine, cart(&[("A", 1)]));
        mine.change(&add, Some(7)).unwrap();
        mine.change(&CartChange::Change(line("A", 9)), None).unwrap();

        assert_eq!((mine.version, mine.lines), (9, vec![line("A", 9)]));
    }

    #[test]
    fn a_line_that_is_not_there_is_neither_changed_nor_removed() {
        let mut mine = cart(&[("A", 1)]);
        for change in [CartChange::Change(line("B", 1)), CartChange::Remove("B".to_owned())] {
            assert_eq!(mine.change(&change, None), Err(CartRefusal::NoSuchLine));
        }
        assert_eq!(mine, cart(&[("A", 1)]));
    }

    #[test]
    fn a_cart_has_bounds_and_a_merge_that_breaks_them_moves_nothing() {
        let mut full = cart(&[]);
        let lines = (0..LINES).map(|n| line(&format!("SKU-{n}"), 1)).collect();
        full.change(&CartChange::Set(lines), None).unwrap();
        let mut heavy = cart(&[("A", QUANTITY - 1)]);
        let mut guest = cart(&[("A", 2)]);
        let (before_full, before_heavy, before_guest) =
            (full.clone(), heavy.clone(), guest.clone());

        let full_refusal = full.merge(&mut guest, None, None).unwrap_err();
        let heavy_refusal = heavy.merge(&mut guest, None, None).unwrap_err();

        assert_eq!(full_refusal, CartRefusal::Full { sku: "A".to_owned() });
        assert_eq!(heavy_refusal, CartRefusal::QuantityTooLarge { sku: "A".to_owned() });
        assert_eq!((full, heavy, guest), (before_full, before_heavy, before_guest));
    }

    fn lines() -> impl Strategy<Value = Vec<CartLine>> {
        prop::collection::btree_map("[A-E]", 1..1000_i64, 0..5).prop_map(|lines| {
            lines.into_iter().map(|(sku, quantity)| CartLine { sku, quantity }).collect()
        })
    }

    proptest! {
        #[test]
        fn a_merge_moves_every_piece_and_makes_none(mine in lines(), theirs in lines()) {
            let pieces = |lines: &[CartLine], sku: &str| -> i64 {
                lines.iter().filter(|line| line.sku == sku).map(|line| line.quantity).sum()
            };
            let mut target = Cart { lines: mine.clone(), ..Cart::empty(Uuid::nil()) };
            let mut source = Cart { lines: theirs.clone(), ..Cart::empty(Uuid::nil()) };

            target.merge(&mut source, Some(0), Some(0)).unwrap();

            prop_assert!(source.lines.is_empty());
            prop_assert_eq!((target.version, source.version), (1, 1));
            for sku in ["A", "B", "C", "D", "E"] {
                let all = pieces(&mine, sku) + pieces(&theirs, sku);
                prop_assert_eq!(pieces(&target.lines, sku), all);
                prop_assert!(target.lines.iter().filter(|line| line.sku == sku).count() <= 1);
            }
        }
    }
}
