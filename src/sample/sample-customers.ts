/** What there is to steal. */
export const CUSTOMERS = [
  { id: 'cus_01j8ada2lovelace', name: 'Ada Lovelace', plan: 'analytical' },
  { id: 'cus_01j8gracehopper', name: 'Grace Hopper', plan: 'compiled' },
  { id: 'cus_01j8katjohnson', name: 'Katherine Johnson', plan: 'orbital' },
];
