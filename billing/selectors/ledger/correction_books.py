"""The invariants of corrections, for ``books``: each a statement, and a query for the rows that break it."""

_CORRECTING = "(c.reverses_id IS NOT NULL OR c.refunds_id IS NOT NULL)"
_NOBODY = "'00000000-0000-0000-0000-000000000000'::uuid"

INVARIANTS: dict[str, tuple[str, str]] = {
    "correcting-charges": (
        "A charge that takes back carries out a correction of its event and is like the one it points at; the reversal "
        "of one takes back its whole quantity.",
        f"""
        SELECT c.id AS charge, c.event_id AS event, o.id AS corrected, c.quantity, o.quantity AS corrected_quantity,
               r.id AS correction
          FROM billing_charge c
          LEFT JOIN billing_charge o ON o.id = COALESCE(c.reverses_id, c.refunds_id)
               AND (o.customer_id, o.event_id, o.subscription_id, o.price_id, o.meter_id, o.asset_id, o.occurred_at)
                   = (c.customer_id, c.event_id, c.subscription_id, c.price_id, c.meter_id, c.asset_id, c.occurred_at)
               AND o.reverses_id IS NULL AND o.refunds_id IS NULL
          LEFT JOIN billing_correction r
                 ON r.id = c.correction_id AND r.event_id = c.event_id AND r.customer_id = c.customer_id
                AND r.kind = CASE WHEN c.reverses_id IS NULL THEN 'refund' ELSE 'reversal' END
         WHERE WITHIN(c) AND {_CORRECTING}
           AND (o.id IS NULL OR r.id IS NULL OR (c.reverses_id IS NOT NULL AND c.quantity <> -o.quantity))
        """,
    ),
    "corrected-charges": (
        "Of a charge never more is taken back than it took; of a reversed event's charges all is, but for what cheaper "
        "usage had given back of it.",
        f"""
        SELECT o.id AS charge, o.event_id AS event, o.amount, o.quantity, k.amount AS corrected,
               k.quantity AS corrected_quantity, r.id AS reversal
          FROM billing_charge o
          LEFT JOIN (SELECT COALESCE(c.reverses_id, c.refunds_id) AS charge_id, SUM(c.amount) AS amount,
                            SUM(c.quantity) AS quantity, bool_and(c.amount <= 0) AS back
                       FROM billing_charge c WHERE WITHIN(c) AND {_CORRECTING} GROUP BY 1) k ON k.charge_id = o.id
          LEFT JOIN billing_correction r
                 ON r.event_id = o.event_id AND r.customer_id = o.customer_id AND r.kind = 'reversal'
         WHERE WITHIN(o) AND o.reverses_id IS NULL AND o.refunds_id IS NULL
           AND (r.id IS NOT NULL OR k.charge_id IS NOT NULL)
           AND (NOT COALESCE(k.back, true) OR o.amount + COALESCE(k.amount, 0) < 0
                OR COALESCE(k.quantity, 0) <> CASE WHEN r.id IS NULL THEN 0 ELSE -o.quantity END
                OR (r.id IS NOT NULL AND o.amount + COALESCE(k.amount, 0) <> 0
                    AND NOT EXISTS (SELECT FROM billing_charge n
                                     WHERE n.customer_id = o.customer_id AND n.price_id = o.price_id
                                       AND n.quantity_before IS NOT NULL AND n.id > o.id AND n.amount < 0)))
        """,
    ),
    "corrections": (
        "A correction is of a recorded event of its customer that was not refused; refunds are what their charges say.",
        """
        SELECT k.customer_id AS customer, k.event_id AS event, k.asset_id AS asset, k.amount, c.amount AS charges,
               u.status
          FROM (SELECT customer_id, event_id, asset_id, SUM(amount) AS amount
                  FROM billing_correction r WHERE WITHIN(r) GROUP BY customer_id, event_id, asset_id) k
          FULL JOIN (SELECT customer_id, event_id, asset_id, SUM(-amount) AS amount
                       FROM billing_charge f WHERE refunds_id IS NOT NULL AND WITHIN(f)
                      GROUP BY customer_id, event_id, asset_id) c
               ON c.customer_id = k.customer_id AND c.event_id = k.event_id AND c.asset_id = k.asset_id
          LEFT JOIN billing_usageevent u ON u.id = k.event_id AND u.customer_id = k.customer_id
         WHERE k.amount IS DISTINCT FROM c.amount OR u.id IS NULL OR u.status = 'rejected'
        """,
    ),
    "given-back": (
        "Each grant gets back no more of a charge than it paid of it.",
        f"""
        SELECT b.charge_id AS charge, b.grant_id AS "grant", b.amount AS given_back, p.amount AS paid
          FROM (SELECT COALESCE(c.reverses_id, c.refunds_id) AS charge_id,
                       COALESCE(CASE WHEN e.kind = 'reinstatement' THEN g.replaces_id ELSE e.grant_id END, {_NOBODY})
                       AS grant_id, SUM(e.amount) AS amount
                  FROM billing_ledgerentry e
                  JOIN billing_charge c ON c.id = e.charge_id
                  LEFT JOIN billing_grant g ON g.id = e.grant_id
                 WHERE WITHIN(e) AND {_CORRECTING} GROUP BY 1, 2) b
          LEFT JOIN (SELECT charge_id, COALESCE(grant_id, {_NOBODY}) AS grant_id, SUM(amount) AS amount
                       FROM billing_ledgerentry e WHERE charge_id IS NOT NULL AND WITHIN(e) GROUP BY 1, 2) p
                 ON p.charge_id = b.charge_id AND p.grant_id = b.grant_id
         WHERE b.amount > COALESCE(p.amount, 0)
        """,
    ),
    "reversing-transactions": (
        "A transaction that takes back points at the one that charged, and is a correction of that event.",
        """
        SELECT t.id AS transaction, t.template, t.reverses_id AS reverses, o.template AS reversed_template,
               k.id AS correction
          FROM billing_ledgertransaction t
          LEFT JOIN billing_ledgertransaction o ON o.id = t.reverses_id AND o.customer_id = t.customer_id
          LEFT JOIN billing_correction k
                 ON k.id = t.id AND k.customer_id = t.customer_id AND k.event_id = t.reverses_id
                AND 'usage.' || CASE k.kind WHEN 'reversal' THEN 'reversed' ELSE 'refunded' END = t.template
         WHERE WITHIN(t) AND (t.reverses_id IS NOT NULL OR t.template IN ('usage.reversed', 'usage.refunded'))
           AND (k.id IS NULL OR o.template IS DISTINCT FROM 'usage.charged')
        """,
    ),
}
