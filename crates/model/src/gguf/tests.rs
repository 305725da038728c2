use super::*;

#[test]
fn refuses_duplicates_overlaps_and_false_counts() {
    let mut twice = Writer::default();
    twice.set("a", Value::U8(1));
    twice.set("a", Value::U8(2));
    let mut same = Writer::default();
    same.tensor("t", &[8], vec![0.0; 8]);
    same.tensor("t", &[8], vec![0.0; 8]);
    for writer in [twice, same] {
        let mut out = Vec::new();
        writer.write_to(&mut out).expect("a vector");
        assert!(parse(&out).is_err());
    }
    let mut two = Writer::default();
    two.tensor("t", &[8], vec![0.0; 8]);
    two.tensor("u", &[8], vec![0.0; 8]);
    let mut out = Vec::new();
    two.write_to(&mut out).expect("a vector");
    assert!(parse(&out).is_ok());
    // The second offset (the last 8 bytes of the infos) points at the first tensor.
    let infos = 24 + 2 * (8 + 1 + 4 + 8 + 4 + 8);
    out[infos - 8..infos].fill(0);
    assert!(parse(&out).is_err());
    out.truncate(out.len() - 32);
    assert!(parse(&out).is_err());
    let mut many = b"GGUF\x03\0\0\0".to_vec();
    many.extend([0xff; 16]);
    assert!(parse(&many).is_err());
}

#[test]
fn a_claimed_array_of_any_size_costs_nothing() {
    let mut out = b"GGUF\x03\0\0\0".to_vec();
    out.extend(0u64.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    out.extend(1u64.to_le_bytes());
    out.push(b'k');
    out.extend(9u32.to_le_bytes());
    out.extend(0u32.to_le_bytes());
    out.extend(u64::MAX.to_le_bytes());
    assert!(parse(&out).is_err());
}
