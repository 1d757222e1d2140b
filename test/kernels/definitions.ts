import type { RowComparer, RowScorer } from "../../dist/kernels/rows.js";

/** Negative log-likelihood by its definition, in plain JS and doubles. */
export function plainScorer(): RowScorer {
  return (row, token) => {
    let maximum = -Infinity;
    for (const logit of row) if (logit > maximum) maximum = logit;
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - maximum);
    return Math.log(sum) + maximum - row[token]!;
  };
}

/** Comparison with a reference by its definition, in plain JS and doubles. */
export function plainComparer(): RowComparer {
  const logSumExp = (row: Float32Array) => {
    let maximum = -Infinity;
    let top = 0;
    for (const [i, logit] of row.entries())
      if (logit > maximum) {
        maximum = logit;
        top = i;
      }
    let sum = 0;
    for (const logit of row) sum += Math.exp(logit - maximum);
    return { log: Math.log(sum) + maximum, top };
  };
  return (reference, variants, token) => {
    const r = logSumExp(reference);
    return variants.map((variant) => {
      const v = logSumExp(variant);
      let kld = 0;
      for (let i = 0; i < reference.length; i++) {
        const logP = reference[i]! - r.log;
        // p ln p tends to 0 with p.
        if (logP > -Infinity) kld += Math.exp(logP) * (logP - (variant[i]! - v.log));
      }
      return {
        nll: v.log - variant[token]!,
        nllReference: r.log - reference[token]!,
        top: v.top,
        topReference: r.top,
        divergence: [kld],
      };
    });
  };
}
