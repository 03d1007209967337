//! Hexadecimal digits, eight at a time: every call writes and reads the 52 of a `traceparent`.

/// The same byte eight times.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// What a digit has that is a letter, beyond ten.
const LETTER: u8 = b'a' - b'0' - 10;

/// Writes two small digits for each of `bytes`, for which `to` has room.
pub(crate) fn write<const N: usize>(bytes: [u8; N], to: &mut [u8]) {
    for (bytes, to) in bytes.chunks(4).zip(to.chunks_mut(8)) {
        let mut four = [0; 4];
        four[..bytes.len()].copy_from_slice(bytes);
        let mut spread = u64::from(u32::from_be_bytes(four));
        spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
        spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
        spread = (spread | spread << 4) & each(0x0f);
        to.copy_from_slice(&digits(spread).to_be_bytes()[..to.len()]);
    }
}

/// Sixteen digits, small letters only.
pub(crate) fn read(text: [u8; 16]) -> Option<u64> {
    let [a, b, c, d, e, f, g, h, rest @ ..] = text;
    Some(eight([a, b, c, d, e, f, g, h])? << 32 | eight(rest)?)
}

/// Two of them.
pub(crate) fn pair([high, low]: [u8; 2]) -> Option<u8> {
    let value = eight([b'0', b'0', b'0', b'0', b'0', b'0', high, low])?;
    u8::try_from(value).ok()
}

#[inline]
fn eight(text: [u8; 8]) -> Option<u64> {
    let text = u64::from_be_bytes(text);
    // Letters have a bit that digits lack.
    let letters = text >> 6 & each(1);
    let mut values = (text & each(0x0f)) + letters * 9;
    // What is no digit is told by what its value would be written as.
    if values & each(0xf0) != 0 || digits(values) != text {
        return None;
    }
    values = (values | values >> 4) & 0x00ff_00ff_00ff_00ff;
    values = (values | values >> 8) & 0x0000_ffff_0000_ffff;
    Some((values | values >> 16) & 0xffff_ffff)
}

/// The digits of eight values below 16.
fn digits(values: u64) -> u64 {
    let letters = (values + each(6)) >> 4 & each(1);
    values + each(b'0') + letters * u64::from(LETTER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for bytes in [0_u64, 1, 0x0123_4567_89ab_cdef, 0xfedc_ba98_7654_3210, u64::MAX] {
            let mut text = [0; 16];
            write(bytes.to_be_bytes(), &mut text);
            assert_eq!(str::from_utf8(&text).unwrap(), format!("{bytes:016x}"));
            assert_eq!(read(text), Some(bytes));
            assert_eq!(pair([text[14], text[15]]), Some(bytes as u8));
        }
    }

    #[test]
    fn nothing_but_small_digits_is_read() {
        for place in 0..16 {
            for byte in 0..=u8::MAX {
                let mut text = *b"0123456789abcdef";
                text[place] = byte;
                let is_digit = matches!(byte, b'0'..=b'9' | b'a'..=b'f');
                assert_eq!(read(text).is_some(), is_digit, "{byte} at {place}");
            }
        }
    }
}
