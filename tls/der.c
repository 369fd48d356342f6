#include "tls/der.h"

bool der_next(struct bytes *in, struct der_element *out)
{
    size_t header = 2;
    if (in->size < 2 || (in->data[0] & 0x1f) == 0x1f)
        return false;
    size_t size = in->data[1];
    if (size >= 0x80) {
        size_t digits = size & 0x7f;
        if (digits == 0 || digits > 4 || in->size < 2 + digits)
            return false;
        size = 0;
        for (size_t i = 0; i < digits; i++)
            size = size << 8 | in->data[2 + i];
        header += digits;
    }
    if (size > in->size - header)
        return false;
    const uint8_t *begin = in->data;
    *in = bytes_of(begin + header + size, in->size - header - size);
    out->tag = begin[0]; /* only now: `in` may be out->value */
    out->whole = bytes_of(begin, header + size);
    out->value = bytes_of(begin + header, size);
    return true;
}

bool der_expect(struct bytes *in, uint8_t tag, struct der_element *out)
{
    return der_next(in, out) && out->tag == tag;
}

bool der_begins_with(struct bytes in, uint8_t tag)
{
    return in.size > 0 && in.data[0] == tag;
}

/* Days from 1970-01-01 in the proleptic Gregorian calendar. */
static int64_t days_of(int year, int month, int day)
{
    static const int before_month[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334};
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    int64_t last = year - 1;
    int64_t days = last * 365 + last / 4 - last / 100 + last / 400;
    return days - 719162 + before_month[month - 1] + (leap && month > 2) + day - 1;
}

static int two_digits(const uint8_t *text)
{
    return (text[0] - '0') * 10 + text[1] - '0';
}

bool der_time(const struct der_element *element, int64_t *out_s)
{
    struct bytes text = element->value;
    bool short_year = element->tag == DER_UTC_TIME;
    if (!(short_year && text.size == 13) &&
        !(element->tag == DER_GENERALIZED_TIME && text.size == 15))
        return false;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
    }
    const uint8_t *rest = text.data + (short_year ? 0 : 2);
    int year = two_digits(rest);
    year += short_year ? (year < 50 ? 2000 : 1900) : two_digits(text.data) * 100;
    int month = two_digits(rest + 2);
    int day = two_digits(rest + 4);
    if (text.data[text.size - 1] != 'Z' || year < 1 || month < 1 || month > 12 || day < 1 ||
        day > 31)
        return false;
    *out_s = days_of(year, month, day) * 86400 + two_digits(rest + 6) * 3600 +
             two_digits(rest + 8) * 60 + two_digits(rest + 10);
    return true;
}
