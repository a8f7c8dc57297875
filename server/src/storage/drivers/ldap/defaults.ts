/** What holds where the configuration does not say; of the schemas that every directory has: RFC 2307, 2798, 4519 and 4524. */

/** Which attributes a vCard's fields are made of. */
export const VCARD_ATTRIBUTES = {
  full_name: ["displayName", "cn"],
  family_name: ["sn"],
  given_name: ["givenName"],
  middle_name: ["initials"],
  nickname: [],
  photo: ["jpegPhoto", "thumbnailPhoto"],
  birthday: ["birthDate"],
  email: ["mail"],
  work_phone: ["telephoneNumber"],
  mobile_phone: ["mobile"],
  home_phone: ["homePhone"],
  fax: ["facsimileTelephoneNumber"],
  title: ["title"],
  role: [],
  organization: ["o"],
  units: ["ou", "departmentNumber"],
  street: ["street"],
  locality: ["l"],
  region: ["st"],
  postal_code: ["postalCode"],
  country: ["co", "c"],
  url: ["labeledURI"],
  description: ["description"],
} as const satisfies Readonly<Record<string, readonly string[]>>;

export type VcardField = keyof typeof VCARD_ATTRIBUTES;
export const VCARD_FIELDS = Object.keys(VCARD_ATTRIBUTES) as readonly VcardField[];

/** Which entry is an account's. */
export const ACCOUNT_FILTER = "(&(objectClass=inetOrgPerson)(uid=%u))";

/** Which entries are groups, and how they are read. */
export const GROUPS = {
  filter: "(|(objectClass=groupOfNames)(objectClass=groupOfUniqueNames)(objectClass=posixGroup))",
  groupNames: ["cn"],
  members: ["member", "uniqueMember", "memberUid"],
  names: ["displayName", "cn"],
} as const;
