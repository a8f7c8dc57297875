/** Which attributes a vCard's fields are made of where the configuration does not say: RFC 2798, RFC 4519 and RFC 4524. */
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
