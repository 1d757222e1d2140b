/** What a task is, besides its questions. */
export interface TaskFacts {
  /** Accuracy of guessing. */
  chance?: number;
  /** Part of the data that is measured: `val`. */
  split?: string;
  /** Form of the prompts. */
  style?: string;
  /** The subjects and groups that were chosen, as the entry names them; absent where all were. */
  subjects?: string[];
  /** Solved examples before every question. */
  shots?: number;
  /** Models that have a chat template are asked in it, and others see other prompts. */
  templated?: true;
  /** The subjects of each group, by the names that items have in `cluster`; a subject may be in several groups. */
  groups?: Record<string, string[]>;
  /** Names of the options, where every question has the same ones. */
  answers?: string[];
  /** Names of subjects as people write them. */
  titles?: Record<string, string>;
}
