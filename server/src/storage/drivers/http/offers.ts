/** What an accounts service may answer besides `user_exists`. */
export const HTTP_OFFERS = ["check_password", "get_keys", "register", "set_keys", "remove_user"] as const;
export type HttpOffer = (typeof HTTP_OFFERS)[number];
