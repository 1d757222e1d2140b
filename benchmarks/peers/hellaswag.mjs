// llama-perplexity visits HellaSwag's tasks in a random order of its own, even where all are asked. To compare answers task
// by task, its order is made again: std::mt19937 rng(1), a uniform draw from the tasks that are left, for every task.

/** std::mt19937. @param {number} seed @returns {() => number} 32 bits a call */
export function mt19937(seed) {
  const state = new Uint32Array(624);
  state[0] = seed;
  for (let i = 1; i < 624; i++) {
    const last = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, last) + i;
  }
  let at = 624;
  const twist = () => {
    for (let i = 0; i < 624; i++) {
      const y = (state[i] & 0x80000000) | (state[(i + 1) % 624] & 0x7fffffff);
      state[i] = state[(i + 397) % 624] ^ (y >>> 1) ^ (y & 1 ? 0x9908b0df : 0);
    }
    at = 0;
  };
  return () => {
    if (at === 624) twist();
    let y = state[at++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  };
}

/**
 * std::uniform_int_distribution over 0 … count − 1 of libstdc++ since GCC 11: the upper half of a product (Lemire). Older
 * ones divide, which for so few tasks gives the same but for one draw in millions.
 */
function draw(random, count) {
  const range = BigInt(count);
  const threshold = 2n ** 32n % range;
  for (;;) {
    const product = BigInt(random()) * range;
    if ((product & 0xffffffffn) >= threshold) return Number(product >> 32n);
  }
}

/** The tasks in the order in which llama-perplexity visits `asked` of `available`. */
export function visitingOrder(available, asked) {
  const random = mt19937(1);
  const left = Array.from({ length: available }, (_, i) => i);
  return Array.from({ length: asked }, () => left.splice(draw(random, left.length), 1)[0]);
}

/**
 * Our answers against the peer's, task by task. A difference is explained where our two best options lie no further apart
 * than `floor`. `unordered` is the control: how many would differ if the peer's order were the file's.
 * @param {{task: number, right: boolean, means?: number[]}[]} ours in file order
 * @param {boolean[]} peer in its own order
 * @param {number} floor noise floor of an option's mean log-probability per token
 */
export function compareAnswers(ours, peer, floor) {
  const differences = visitingOrder(ours.length, peer.length)
    .filter((task, i) => ours[task].right !== peer[i])
    .sort((a, b) => a - b)
    .map((task) => {
      const [first = Number.NaN, second = Number.NaN] = [...(ours[task].means ?? [])].sort((a, b) => b - a);
      const gap = first - second;
      return { task, ours: ours[task].right, peer: !ours[task].right, gap, explained: gap <= floor };
    });
  const unordered = peer.filter((right, task) => ours[task].right !== right).length;
  return { differences, unordered };
}

/** The largest change of an option's mean log-probability per token between two scorings of the same tasks. */
export function noiseFloor(one, other) {
  let floor = 0;
  one.forEach(({ means }, i) => {
    means?.forEach((mean, option) => {
      const again = other[i].means?.[option];
      if (again !== undefined) floor = Math.max(floor, Math.abs(mean - again));
    });
  });
  return floor;
}
