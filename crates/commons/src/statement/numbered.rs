//! The encoding of an enum whose values, or some of them, belong to `decide`, which knows no CBOR: a
//! number, in the order of a list.

use super::Method;
use decide::Unranked;
use minicbor::{
    Decoder, Encoder,
    decode::Error as DecodeError,
    encode::{Error as EncodeError, Write},
};

/// A value that is a number on the wire.
pub(super) trait Numbered: Copy + PartialEq + 'static {
    /// Every value, at the place of its number.
    const IN_ORDER: &'static [Self];
}

impl Numbered for Method {
    const IN_ORDER: &'static [Self] = Self::ALL;
}

impl Numbered for Unranked {
    const IN_ORDER: &'static [Self] = &[Self::Last, Self::NoOpinion];
}

pub(super) fn encode<C, T: Numbered, W: Write>(
    value: &T,
    e: &mut Encoder<W>,
    _: &mut C,
) -> Result<(), EncodeError<W::Error>> {
    let place = T::IN_ORDER.iter().position(|known| known == value);
    e.u8(place.expect("the list has every value") as u8)?.ok()
}

pub(super) fn decode<C, T: Numbered>(d: &mut Decoder<'_>, _: &mut C) -> Result<T, DecodeError> {
    let at = d.position();
    let number = d.u8()?;
    let value = T::IN_ORDER.get(usize::from(number)).copied();
    value.ok_or_else(|| DecodeError::unknown_variant(number.into()).at(at))
}

#[cfg(test)]
mod tests {
    use super::*;
    use decide::Method as Counted;
    use std::fmt::Debug;

    #[test]
    fn each_has_its_number_and_no_other_number_is_read() {
        has_numbers(&[(Unranked::Last, 0), (Unranked::NoOpinion, 1)]);
        has_numbers(&[
            (Method::Counted(Counted::Approval), 0),
            (Method::Counted(Counted::Schulze), 1),
            (Method::Counted(Counted::Committee), 2),
            (Method::Counted(Counted::Stv), 3),
            (Method::Lot, 4),
        ]);
    }

    fn has_numbers<T: Numbered + Debug>(values: &[(T, u8)]) {
        for &(value, byte) in values {
            let mut bytes = Vec::new();
            encode(&value, &mut Encoder::new(&mut bytes), &mut ()).unwrap();
            assert_eq!(bytes, [byte]);
            assert_eq!(decode::<_, T>(&mut Decoder::new(&bytes), &mut ()).unwrap(), value);
        }
        for bytes in [&[values.len() as u8][..], &[0x18, 0x20], &[0x20], &[0x60], &[]] {
            assert!(decode::<_, T>(&mut Decoder::new(bytes), &mut ()).is_err(), "{bytes:?}");
        }
    }
}
