/** What a Modelfile or the server's defaults would otherwise put between probabilities and answer: penalties, cut tails. */
export const plain = {
  top_k: 0,
  top_p: 1,
  min_p: 0,
  typical_p: 1,
  repeat_penalty: 1,
  presence_penalty: 0,
  frequency_penalty: 0,
  stop: [],
};

/** The most likely token each time. */
export const greedy = { ...plain, top_k: 1, temperature: 0, seed: 0 };
