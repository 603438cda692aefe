// Ranks of a part of the table, by the rules of results/statistics.py: Holm's correction over the pairs that are left.
const makeRanking = (data) => {
  const count = data.rows.length,
    limit = 1 - data.level,
    unpacked = {},
    leastOf = {};
  const codesOf = (m) =>
    (unpacked[m] ??= new Uint16Array(Uint8Array.from(atob(data.pairs[m].codes), (c) => c.charCodeAt(0)).buffer));
  // The p value that a code stands for, a little rounded up; page_data.pair_codes writes them.
  const pOf = (code, tests) => (code === 65535 ? 0 : code === 1 ? 1 : limit * tests ** -((code - 2) / 65532));

  /** The smallest code that is significant among `codes`; 0 are pairs that could not be tested, and count for none. */
  function leastSignificant(codes, tests) {
    const found = Uint16Array.from(codes.filter((code) => code))
      .sort()
      .reverse();
    let least = Infinity;
    for (let k = 0; k < found.length && pOf(found[k], tests) * (found.length - k) < limit; k += 1) least = found[k];
    return least;
  }

  /** Where a pair of rows stands among the codes of all pairs, which are those above the diagonal, line by line. */
  const placeOf = (a, b) => {
    const i = Math.min(a, b),
      j = Math.max(a, b);
    return i * count - (i * (i + 1)) / 2 + j - i - 1;
  };

  /** Whether tests of all pairs of rows tell two of them apart on measure m; null where that was not tested. */
  function isToldApart(m, one, other) {
    const found = data.pairs[m] ? codesOf(m)[placeOf(one.number, other.number)] : 0;
    return found ? found >= (leastOf[m] ??= leastSignificant([...codesOf(m)], data.pairs[m].tests)) : null;
  }

  /** A map of rows to [rank, lowest, highest] on measure m, among `rows`; among all where its pairs are not at hand. */
  function ranksOf(m, rows) {
    const having = m === null ? [] : rows.filter((row) => row.scores[m]);
    if (rows.length === count || !data.pairs[m])
      return new Map(having.filter((row) => row.ranks[m]).map((row) => [row, row.ranks[m]]));
    const { tests } = data.pairs[m],
      codes = codesOf(m),
      sign = data.measures[m].better === "higher" ? -1 : 1;
    const code = (a, b) => codes[placeOf(having[a].number, having[b].number)];
    const all = [];
    for (let a = 0; a < having.length; a += 1) for (let b = a + 1; b < having.length; b += 1) all.push(code(a, b));
    const smallest = leastSignificant(all, tests),
      value = having.map((row) => sign * row.scores[m][0]);
    const told = having.map((_, a) => {
      let better = 0,
        worse = 0;
      for (let b = 0; b < having.length; b += 1)
        if (b !== a && code(a, b) >= smallest) {
          better += value[b] < value[a];
          worse += value[b] > value[a];
        }
      return { row: having[a], value: value[a], lowest: 1 + better, highest: having.length - worse };
    });
    let rank = 1;
    return new Map(
      told
        .sort((a, b) => a.value - b.value)
        .map((each) => [each.row, [(rank = Math.max(rank, each.lowest)), each.lowest, each.highest]]),
    );
  }
  return { ranksOf, isToldApart };
};
