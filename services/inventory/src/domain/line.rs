use std::fmt;

/// The most pieces that one delivery or one line may hold.
pub const MAX_QUANTITY: i64 = 1_000_000;

/// The highest threshold.
pub const MAX_THRESHOLD: i64 = 1_000_000_000;

/// The most lines of one reservation.
pub const MAX_LINES: usize = 100;

/// Stock keeping unit: 1 to 40 of A-Z, 0-9 and '-'.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sku(String);

impl Sku {
    /// Accepts what a SKU may be; hands back nothing else.
    pub fn parse(text: &str) -> Option<Self> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'-';
        ((1..=40).contains(&text.len()) && text.bytes().all(allowed)).then(|| Self(text.to_owned()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Sku {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// So many pieces of one SKU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    pub sku: Sku,
    /// 1 to [`MAX_QUANTITY`].
    pub quantity: i64,
}

/// The lines of one reservation: 1 to 100, by SKU, each SKU once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lines(Vec<Line>);

/// What a list of lines must not be. Positions are those of the list that was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinesError {
    #[error("are not 1 to {MAX_LINES} lines")]
    Count,
    #[error("names a SKU that an earlier line names")]
    Repeated { line: usize },
}

impl Lines {
    /// Sorts the lines by SKU, or names the first rule they break.
    pub fn new(mut lines: Vec<Line>) -> Result<Self, LinesError> {
        if !(1..=MAX_LINES).contains(&lines.len()) {
            return Err(LinesError::Count);
        }
        let mut places: Vec<usize> = (0..lines.len()).collect();
        places.sort_by(|a, b| lines[*a].sku.cmp(&lines[*b].sku));
        let repeated = places.windows(2).filter(|pair| lines[pair[0]].sku == lines[pair[1]].sku);
        if let Some(line) = repeated.map(|pair| pair[1]).min() {
            return Err(LinesError::Repeated { line });
        }
        lines.sort_by(|a, b| a.sku.cmp(&b.sku));
        Ok(Self(lines))
    }

    pub fn as_slice(&self) -> &[Line] {
        &self.0
    }
}
