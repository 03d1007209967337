//! Where a parcel goes, and where none can.

/// An address of the right shape; personal data, so it cannot be printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub recipient: String,
    pub lines: Vec<String>,
    pub city: String,
    pub postal_code: String,
    pub country: Country,
}

/// Two upper-case letters, as ISO 3166-1 gives them out; not every pair is a country.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Country([u8; 2]);

/// How far away a country is: what a parcel costs and how long it takes depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    /// Belgium, where parcels leave, and its neighbours.
    Near,
    /// The rest of the European Union.
    Union,
    /// The United Kingdom, Switzerland and Norway.
    Europe,
    /// The United States and Canada.
    Overseas,
}

impl Country {
    /// The country with this code, if it is two upper-case letters.
    pub fn parse(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII is accepted by `parse`")
    }

    /// How far away the country is; `None` if no carrier brings parcels there.
    pub fn zone(self) -> Option<Zone> {
        Some(match &self.0 {
            b"BE" | b"DE" | b"FR" | b"LU" | b"NL" => Zone::Near,
            b"AT" | b"BG" | b"CY" | b"CZ" | b"DK" | b"EE" | b"ES" | b"FI" | b"GR" | b"HR"
            | b"HU" | b"IE" | b"IT" | b"LT" | b"LV" | b"MT" | b"PL" | b"PT" | b"RO" | b"SE"
            | b"SI" | b"SK" => Zone::Union,
            b"CH" | b"GB" | b"NO" => Zone::Europe,
            b"CA" | b"US" => Zone::Overseas,
            _ => return None,
        })
    }
}

impl Zone {
    /// As it stands in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Near => "NEAR",
            Self::Union => "UNION",
            Self::Europe => "EUROPE",
            Self::Overseas => "OVERSEAS",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_go_to_europe_and_north_america_and_not_to_the_antarctic() {
        let zones = [
            ("BE", Zone::Near),
            ("NL", Zone::Near),
            ("AT", Zone::Union),
            ("SK", Zone::Union),
            ("CH", Zone::Europe),
            ("GB", Zone::Europe),
            ("US", Zone::Overseas),
            ("CA", Zone::Overseas),
        ];
        for (code, zone) in zones {
            assert_eq!(country(code).zone(), Some(zone), "{code}");
        }
        for code in ["AQ", "KP", "AA", "ZZ", "RU", "UK"] {
            assert_eq!(country(code).zone(), None, "{code}");
        }
    }

    #[test]
    fn every_country_of_the_union_is_served_and_five_others() {
        let letters = || b'A'..=b'Z';
        let all = letters().flat_map(|one| letters().map(move |two| Country([one, two])));
        let zones: Vec<_> = all.filter_map(Country::zone).collect();
        let count = |wanted: &[Zone]| zones.iter().filter(|zone| wanted.contains(zone)).count();

        assert_eq!(count(&[Zone::Near, Zone::Union]), 27);
        assert_eq!(count(&[Zone::Europe, Zone::Overseas]), 5);
    }

    #[test]
    fn a_code_is_two_upper_case_letters() {
        for code in ["", "D", "de", "DEU", "D1", "ÄT", "É"] {
            assert_eq!(Country::parse(code), None, "{code}");
        }
    }

    fn country(code: &str) -> Country {
        Country::parse(code).unwrap()
    }
}
