//! Where a parcel goes, and where none can.

/// Countries that our carriers serve, in order: the European Union, the United Kingdom,
/// Switzerland, Norway, the United States and Canada.
const SERVED: [Country; 32] = countries([
    b"AT", b"BE", b"BG", b"CA", b"CH", b"CY", b"CZ", b"DE", b"DK", b"EE", b"ES", b"FI", b"FR",
    b"GB", b"GR", b"HR", b"HU", b"IE", b"IT", b"LT", b"LU", b"LV", b"MT", b"NL", b"NO", b"PL",
    b"PT", b"RO", b"SE", b"SI", b"SK", b"US",
]);

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

impl Country {
    /// The country with this code, if it is two upper-case letters.
    pub fn parse(code: &str) -> Option<Self> {
        let letters: [u8; 2] = code.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("only ASCII is accepted by `parse`")
    }

    /// Whether a carrier brings parcels there.
    pub fn is_served(self) -> bool {
        SERVED.binary_search(&self).is_ok()
    }
}

const fn countries<const N: usize>(codes: [&[u8; 2]; N]) -> [Country; N] {
    let mut countries = [Country([0; 2]); N];
    let mut i = 0;
    while i < N {
        countries[i] = Country(*codes[i]);
        i += 1;
    }
    countries
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parcels_go_to_europe_and_north_america_and_not_to_the_antarctic() {
        for code in ["AT", "CH", "DE", "GB", "NO", "SK", "US", "CA"] {
            assert!(country(code).is_served(), "{code}");
        }
        for code in ["AQ", "KP", "AA", "ZZ", "RU", "UK"] {
            assert!(!country(code).is_served(), "{code}");
        }
    }

    #[test]
    fn the_list_is_in_order_so_that_it_can_be_searched() {
        assert!(SERVED.is_sorted());
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
